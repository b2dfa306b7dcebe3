//! Amounts of resources, compared exactly.

use std::cmp::Ordering;

use serde_json::Value;

/// Whether two quantities (texts or whole numbers) have the same amount. Values that are not
/// quantities are the same only when they are written the same.
pub fn quantities_equal(left: &Value, right: &Value) -> bool {
    left == right
        || matches!((Amount::of(left), Amount::of(right)), (Some(left), Some(right)) if left == right)
}

/// An amount in one form only: `sign * digits * 2^binary * 10^decimal`, where the digits have no
/// zeros around them and the power of two is multiplied out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Amount {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Amount {
    /// The amount of a quantity; `None` when the value is none.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => parse(text),
            Value::Number(number) => parse(&number.to_string()),
            _ => None,
        }
    }

    /// Whether it is below zero.
    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it has no fraction.
    pub(super) fn is_whole(&self) -> bool {
        self.exponent >= 0
    }

    /// Compares without regard to the signs.
    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        // Zero has no digits and is below everything.
        let order = |amount: &Self| {
            let length = i64::try_from(amount.digits.len()).unwrap_or(i64::MAX);
            (length > 0).then(|| length.saturating_add(amount.exponent))
        };
        order(self)
            .cmp(&order(other))
            .then_with(|| self.digits.cmp(&other.digits))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
        }
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn parse(text: &str) -> Option<Amount> {
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
        return None;
    }
    let mut digits: Vec<u8> = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|b| b - b'0')
        .collect();
    let mut exponent = -i64::try_from(fraction.len()).ok()?;
    match scale(suffix)? {
        Scale::Decimal(power) => exponent += power,
        Scale::Binary(power) => {
            for _ in 0..power {
                times_1024(&mut digits);
            }
        }
    }
    while digits.last() == Some(&0) {
        digits.pop();
        exponent += 1;
    }
    let leading = digits.iter().take_while(|&&digit| digit == 0).count();
    digits.drain(..leading);
    if digits.is_empty() {
        return Some(Amount {
            negative: false,
            digits,
            exponent: 0,
        });
    }
    Some(Amount {
        negative,
        digits,
        exponent,
    })
}

enum Scale {
    /// A power of ten.
    Decimal(i64),
    /// A power of 1024.
    Binary(u32),
}

fn scale(suffix: &str) -> Option<Scale> {
    Some(match suffix {
        "" => Scale::Decimal(0),
        "n" => Scale::Decimal(-9),
        "u" => Scale::Decimal(-6),
        "m" => Scale::Decimal(-3),
        "k" => Scale::Decimal(3),
        "M" => Scale::Decimal(6),
        "G" => Scale::Decimal(9),
        "T" => Scale::Decimal(12),
        "P" => Scale::Decimal(15),
        "E" => Scale::Decimal(18),
        "Ki" => Scale::Binary(1),
        "Mi" => Scale::Binary(2),
        "Gi" => Scale::Binary(3),
        "Ti" => Scale::Binary(4),
        "Pi" => Scale::Binary(5),
        "Ei" => Scale::Binary(6),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            Scale::Decimal(exponent.into())
        }
    })
}

/// Multiplies a number in decimal digits, most significant first.
fn times_1024(digits: &mut Vec<u8>) {
    let mut carry = 0_u32;
    for digit in digits.iter_mut().rev() {
        let product = u32::from(*digit) * 1024 + carry;
        *digit = (product % 10) as u8;
        carry = product / 10;
    }
    while carry > 0 {
        digits.insert(0, (carry % 10) as u8);
        carry /= 10;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn same_and_different_amounts() {
        let table = [
            (json!("1"), json!("1000m"), true),
            (json!("1.5Gi"), json!("1536Mi"), true),
            (json!("1Ki"), json!("1024"), true),
            (json!("1e3"), json!("1k"), true),
            (json!("1E3"), json!("1000"), true),
            (json!("1E"), json!("1000P"), true),
            (json!("0.1"), json!("100m"), true),
            (json!(".5"), json!("0.50"), true),
            (json!("5."), json!(5), true),
            (json!("-0"), json!("0"), true),
            (json!("+1"), json!("1"), true),
            (json!("-1"), json!("1"), false),
            (json!("1G"), json!("1Gi"), false),
            (
                json!("9223372036854775807"),
                json!("9223372036854775806"),
                false,
            ),
            (json!("x"), json!("x"), true),
            (json!("x"), json!("y"), false),
            (json!("1.2.3"), json!("1.23"), false),
            (json!(""), json!("0"), false),
            (json!("."), json!("0"), false),
            (json!(null), json!("0"), false),
        ];
        for (left, right, expected) in table {
            assert_eq!(quantities_equal(&left, &right), expected, "{left} {right}");
        }
    }

    #[test]
    fn order_of_amounts() {
        let ascending = [
            "-1Gi", "-2", "-1.5", "-1", "0", "1n", "500m", "0.51", "1", "1.5", "2", "15", "1Ki",
            "1025", "1Gi", "1.1Gi", "1e30",
        ];
        let amounts: Vec<_> = ascending
            .iter()
            .map(|text| Amount::of(&json!(text)).unwrap())
            .collect();
        for (i, left) in amounts.iter().enumerate() {
            for (j, right) in amounts.iter().enumerate() {
                assert_eq!(
                    left.cmp(right),
                    i.cmp(&j),
                    "{} {}",
                    ascending[i],
                    ascending[j]
                );
            }
        }
        for (text, negative, whole) in [
            ("-0", false, true),
            ("-1m", true, false),
            ("1500m", false, false),
            ("2000m", false, true),
            ("0.5Ki", false, true),
        ] {
            let amount = Amount::of(&json!(text)).unwrap();
            assert_eq!(
                (amount.is_negative(), amount.is_whole()),
                (negative, whole),
                "{text}"
            );
        }
    }
}
