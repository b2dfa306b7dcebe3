//! Kubernetes quantities, as far as the node needs them: add, divide, round up.

/// Nano-units per unit: the smallest step a quantity can express.
const NANO: i128 = 1_000_000_000;

/// A non-negative amount in nano-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Quantity(i128);

impl Quantity {
    /// So many whole units.
    pub(crate) fn units(units: u64) -> Self {
        Self(i128::from(units) * NANO)
    }

    /// Reads a quantity that is not negative. Anything finer than a nano-unit is rounded up.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let amount = embedded_apiserver::quantity::Quantity::parse(text).ok()?;
        let nano = amount.nano();
        (nano >= 0).then_some(Self(nano))
    }

    /// How many times `divisor` fits, rounded up; a zero divisor counts as one unit.
    pub(crate) fn divided_by(self, divisor: Self) -> i128 {
        ceil_div(self.0, if divisor.0 == 0 { NANO } else { divisor.0 })
    }

    /// The sum, saturating.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, never below zero.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

fn ceil_div(a: i128, b: i128) -> i128 {
    a / b + i128::from(a % b > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_parsed_and_divided() {
        let cases = [
            ("1", "1", 1),
            ("1500m", "1", 2),
            ("1500m", "1m", 1500),
            ("0.25", "1m", 250),
            ("64Mi", "1Mi", 64),
            ("64Mi", "1", 67_108_864),
            ("1Gi", "1M", 1074),
            ("2e3", "1k", 2),
            ("1E", "1P", 1000),
            ("3", "0", 3),
            (".5", "1m", 500),
            ("1n", "1", 1),
        ];
        for (amount, divisor, expected) in cases {
            let got = Quantity::parse(amount)
                .unwrap()
                .divided_by(Quantity::parse(divisor).unwrap());
            assert_eq!(got, expected, "{amount} / {divisor}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "1x", "-1", "1.2.3", ".", "1e", "1e999", "Ki"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }
}
