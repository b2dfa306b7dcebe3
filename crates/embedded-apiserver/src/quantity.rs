//! Kubernetes quantities: `100m`, `1.5Gi`, `2e3`.
//!
//! A quantity has an amount and the form it was written in. Kubernetes stores the *canonical* text
//! of both: no fraction, the largest suffix that allows this, and the form as it was.

use std::fmt;

/// Nano-units per unit: the smallest step a quantity can express.
const NANO: i128 = 1_000_000_000;
/// The largest amount with a binary suffix; larger ones are taken for this.
const MOST: i128 = i64::MAX as i128 * NANO;

/// What a quantity looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `100m`, `5k`.
    Decimal,
    /// `1Gi`.
    Binary,
    /// `1e3`.
    Exponent,
}

/// An amount, and the form it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    nano: i128,
    form: Form,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It does not look like one.
    #[error("quantities must match the regular expression '{EXPRESSION}'")]
    Format,
    /// It ends in something that is no suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// It is more than 10^29, which nothing on earth has.
    #[error("the quantity is too large")]
    Large,
}

const EXPRESSION: &str = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";

const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Reads a quantity. Anything finer than a nano-unit is rounded up.
    ///
    /// # Errors
    /// When the text is none, or too large to be meant.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Format);
        }
        let known = |c: char| c.is_ascii_digit() || "eEinumkKMGTP+-".contains(c);
        if !suffix.chars().all(known) {
            return Err(QuantityError::Format);
        }
        let (form, scale, power) = scale(suffix).ok_or(QuantityError::Suffix)?;
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let power = i64::try_from(fraction.len())
            .map_or(i64::MIN, |length| (power + 9).saturating_sub(length));
        let nano = match digits {
            "" => Some(0),
            digits => amount(digits, scale, power),
        };
        let nano = match (nano, form) {
            (Some(nano), Form::Binary) => nano.min(MOST),
            (None, Form::Binary) => MOST,
            (Some(nano), _) => nano,
            (None, _) => return Err(QuantityError::Large),
        };
        let form = if form == Form::Binary && nano < NANO {
            Form::Decimal
        } else {
            form
        };
        let nano = if negative { -nano } else { nano };
        Ok(Self { nano, form })
    }

    /// The amount in nano-units.
    pub fn nano(self) -> i128 {
        self.nano
    }

    /// The sum, in the form of the first that is not zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let form = if self.nano == 0 { other } else { self }.form;
        let nano = self.nano.saturating_add(other.nano);
        Self { nano, form }
    }

    /// The next amount, away from zero, that is a multiple of a thousandth: what a container or a
    /// node can have of a resource.
    #[must_use]
    pub fn to_milli(self) -> Self {
        const STEP: i128 = NANO / 1000;
        let rest = self.nano % STEP;
        let more = if rest == 0 { 0 } else { STEP - rest.abs() };
        let nano = self.nano - rest + (rest.signum() * (rest.abs() + more));
        Self { nano, ..self }
    }
}

/// Form, factor and power of ten that a suffix stands for.
fn scale(suffix: &str) -> Option<(Form, i128, i64)> {
    if let Some(index) = DECIMAL.iter().position(|known| *known == suffix) {
        let power = i64::try_from(index).ok()? * 3 - 9;
        return Some((Form::Decimal, 1, power));
    }
    if let Some(index) = BINARY.iter().position(|known| *known == suffix) {
        return Some((Form::Binary, 1 << (10 * index), 0));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Form::Exponent, 1, exponent.into()))
}

/// `digits * scale * 10^power`, rounded up; `None` if it is too large. The digits begin with one
/// that is not zero.
fn amount(digits: &str, scale: i128, power: i64) -> Option<i128> {
    // Digits far behind the last one that counts only say that there is something to round up.
    let (digits, power) = match digits.split_at_checked(36) {
        Some((front, rest)) if !rest.is_empty() => {
            let more = i128::from(rest.bytes().any(|digit| digit != b'0'));
            let power = power.checked_add(i64::try_from(rest.len()).ok()?)?;
            (front.parse::<i128>().ok()? + more, power)
        }
        _ => (digits.parse().ok()?, power),
    };
    let ten = |power: i64| 10_i128.checked_pow(u32::try_from(power).ok()?);
    if power >= 0 {
        digits.checked_mul(scale)?.checked_mul(ten(power)?)
    } else {
        let Some(divisor) = ten(-power) else {
            return Some(1);
        };
        // First what can be divided without a rest, so that a binary factor does not overflow.
        let scaled = digits.checked_mul(scale)?;
        Some(scaled / divisor + i128::from(scaled % divisor > 0))
    }
}

impl fmt::Display for Quantity {
    /// The canonical text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let whole = self.nano % NANO == 0;
        if self.form == Form::Binary && whole && self.nano.abs() >= 1024 * NANO {
            let mut number = self.nano / NANO;
            let mut power = 0;
            while number % 1024 == 0 && power + 1 < BINARY.len() {
                number /= 1024;
                power += 1;
            }
            return write!(f, "{number}{}", BINARY[power]);
        }
        let (mut number, mut power) = (self.nano, -9_i64);
        while number % 1000 == 0 && (self.form == Form::Exponent || power < 18) {
            number /= 1000;
            power += 3;
        }
        match self.form {
            Form::Exponent if power != 0 => write!(f, "{number}e{power}"),
            Form::Exponent => write!(f, "{number}"),
            Form::Decimal | Form::Binary => {
                let index = usize::try_from((power + 9) / 3).unwrap_or_default();
                write!(f, "{number}{}", DECIMAL.get(index).unwrap_or(&""))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_texts() {
        for (text, canonical) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000Mi", "1000Mi"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("0.1Ki", "102400m"),
            ("512Ki", "512Ki"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("100Ei", "9223372036854775807"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1000e0", "1e3"),
            ("12e4", "120e3"),
            ("1E", "1E"),
            ("1000E", "1000E"),
            ("1e-3", "1e-3"),
            ("0", "0"),
            ("0Mi", "0"),
            ("-0", "0"),
            ("+1", "1"),
            ("-1.5", "-1500m"),
            ("0.0000000001", "1n"),
            ("1e-999", "1e-9"),
            ("00012", "12"),
            (
                "1.00000000000000000000000000000000000000000000000001",
                "1000000001n",
            ),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(quantity.to_string(), canonical, "{text}");
            let again = Quantity::parse(canonical).unwrap();
            assert_eq!(again.to_string(), canonical);
            assert_eq!(again.nano(), quantity.nano(), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity() {
        use QuantityError::{Format, Large, Suffix};
        for (text, error) in [
            ("", Format),
            ("many", Format),
            ("1.2.3", Format),
            (".", Format),
            ("Ki", Format),
            ("1 Gi", Format),
            ("--1", Format),
            ("1GB", Format),
            ("1KiB", Format),
            ("1K", Suffix),
            ("1e", Suffix),
            ("1gi", Format),
            ("1e+", Suffix),
            ("1e999", Large),
        ] {
            assert_eq!(Quantity::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn resources_come_in_thousandths() {
        for (text, rounded) in [
            ("1", "1"),
            ("1n", "1m"),
            ("1500u", "2m"),
            ("-1500u", "-2m"),
            ("2m", "2m"),
        ] {
            let quantity = Quantity::parse(text).unwrap().to_milli();
            assert_eq!(quantity.to_string(), rounded, "{text}");
        }
    }
}
