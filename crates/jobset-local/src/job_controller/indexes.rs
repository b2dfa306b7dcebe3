//! Sets of completion indexes, as the Job API writes them: `1,3-5,7`.

use std::fmt;

/// A set of completion indexes kept as sorted, disjoint, non-adjacent closed intervals.
///
/// The memory and time of every operation depend on the number of intervals, not on the number
/// of indexes: a Job with 100,000 completions is usually a handful of intervals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IndexSet {
    intervals: Vec<(u32, u32)>,
}

impl IndexSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the API's form, ignoring what is not below `limit` and every part that is not a
    /// number or an ascending range: a status field that a user has edited must not stop a Job.
    pub fn parse(text: &str, limit: u32) -> Self {
        let mut set = Self::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (first.trim().parse(), last.trim().parse()),
                None => (part.parse(), part.parse()),
            };
            if let (Ok(first), Ok(last)) = (first, last) {
                set.insert_range(first, last, limit);
            }
        }
        set
    }

    fn insert_range(&mut self, first: u32, last: u32, limit: u32) {
        if limit == 0 || first > last || first >= limit {
            return;
        }
        let (mut first, mut last) = (first, last.min(limit - 1));
        // Everything from the first interval that touches ours to the last one melts together.
        let from = self
            .intervals
            .partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self
            .intervals
            .partition_point(|&(start, _)| start <= last.saturating_add(1));
        if from < to {
            first = first.min(self.intervals[from].0);
            last = last.max(self.intervals[to - 1].1);
        }
        self.intervals.splice(from..to.max(from), [(first, last)]);
    }

    /// Adds one index.
    pub fn insert(&mut self, index: u32) {
        self.insert_range(index, index, u32::MAX);
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: u32) -> bool {
        let at = self.intervals.partition_point(|&(_, end)| end < index);
        self.intervals
            .get(at)
            .is_some_and(|&(start, _)| start <= index)
    }

    /// The number of indexes in the set.
    pub fn len(&self) -> u32 {
        self.intervals
            .iter()
            .fold(0_u32, |sum, &(a, b)| sum.saturating_add(b - a + 1))
    }

    /// Whether the set has no index.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// How many indexes both sets have.
    pub fn overlap(&self, other: &Self) -> u32 {
        let (mut i, mut j, mut count) = (0, 0, 0_u32);
        while let (Some(&(a0, a1)), Some(&(b0, b1))) =
            (self.intervals.get(i), other.intervals.get(j))
        {
            let (low, high) = (a0.max(b0), a1.min(b1));
            if low <= high {
                count = count.saturating_add(high - low + 1);
            }
            if a1 < b1 {
                i += 1;
            } else {
                j += 1;
            }
        }
        count
    }

    /// The indexes below `limit` that are not in the set, ascending.
    pub fn missing(&self, limit: u32) -> impl Iterator<Item = u32> + '_ {
        let mut next = 0;
        let mut at = 0;
        std::iter::from_fn(move || {
            while let Some(&(start, end)) = self.intervals.get(at) {
                if next < start {
                    break;
                }
                next = next.max(end.saturating_add(1));
                at += 1;
            }
            (next < limit).then(|| {
                next += 1;
                next - 1
            })
        })
    }
}

impl fmt::Display for IndexSet {
    /// The API's form: three or more indexes in a row become `first-last`, two stay apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, &(first, last)) in self.intervals.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match last - first {
                0 => write!(f, "{first}")?,
                1 => write!(f, "{first},{last}")?,
                _ => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromIterator<u32> for IndexSet {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Self {
        let mut set = Self::new();
        for index in indexes {
            set.insert(index);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_forms() {
        for (indexes, text) in [
            (vec![], ""),
            (vec![0], "0"),
            (vec![1, 2], "1,2"),
            (vec![1, 2, 3], "1-3"),
            (vec![7, 1, 3, 5, 4], "1,3-5,7"),
            (vec![0, 1, 2, 4, 5, 9], "0-2,4,5,9"),
        ] {
            let set: IndexSet = indexes.iter().copied().collect();
            assert_eq!(set.to_string(), text);
            assert_eq!(IndexSet::parse(text, 100), set);
        }
    }

    #[test]
    fn reading_ignores_what_makes_no_sense() {
        for (text, limit, expected) in [
            ("1-", 10, ""),
            ("x,2", 10, "2"),
            ("5-3,4", 10, "4"),
            ("8-20", 10, "8,9"),
            ("10,11", 10, ""),
            (" 1 , 2 - 4 ", 10, "1-4"),
            ("0-4294967295", u32::MAX, "0-4294967294"),
            ("3", 0, ""),
            ("99999999999", 10, ""),
        ] {
            assert_eq!(IndexSet::parse(text, limit).to_string(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_plain_set(
            a in proptest::collection::vec(0_u32..60, 0..40),
            b in proptest::collection::vec(0_u32..60, 0..40),
            limit in 0_u32..70,
        ) {
            let (left, right): (IndexSet, IndexSet) =
                (a.iter().copied().collect(), b.iter().copied().collect());
            let (plain, other): (BTreeSet<u32>, BTreeSet<u32>) =
                (a.into_iter().collect(), b.into_iter().collect());
            prop_assert_eq!(left.len() as usize, plain.len());
            prop_assert_eq!(left.is_empty(), plain.is_empty());
            prop_assert_eq!(left.overlap(&right) as usize, plain.intersection(&other).count());
            for index in 0..70 {
                prop_assert_eq!(left.contains(index), plain.contains(&index));
            }
            let missing: Vec<u32> = (0..limit).filter(|i| !plain.contains(i)).collect();
            prop_assert_eq!(left.missing(limit).collect::<Vec<_>>(), missing);
            prop_assert_eq!(IndexSet::parse(&left.to_string(), u32::MAX), left.clone());
            let clipped: IndexSet = plain.iter().copied().filter(|i| *i < limit).collect();
            prop_assert_eq!(IndexSet::parse(&left.to_string(), limit), clipped);
        }

        #[test]
        fn reading_never_panics(text in "[0-9,\\- x]{0,30}", limit in any::<u32>()) {
            let set = IndexSet::parse(&text, limit);
            prop_assert_eq!(IndexSet::parse(&set.to_string(), limit), set);
        }
    }
}
