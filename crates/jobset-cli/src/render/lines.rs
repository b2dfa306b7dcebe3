//! A unified diff of two texts, line by line.

/// Lines that are the same around a change.
const CONTEXT: usize = 3;
/// Above so many comparisons the changed part is shown as replaced as a whole.
const MOST_CELLS: usize = 4_000_000;

/// One line of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The hunks of a unified diff, without the lines that name the files; empty if nothing differs.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let changed: Vec<usize> = (0..lines.len())
        .filter(|&i| !matches!(lines[i], Line::Same(_)))
        .collect();
    let mut text = String::new();
    let mut rest = &changed[..];
    while let Some(&first) = rest.first() {
        // A hunk goes on as long as the next change is within reach of its context.
        let near = rest
            .windows(2)
            .take_while(|pair| pair[1] - pair[0] <= 2 * CONTEXT + 1)
            .count();
        let last = rest[near];
        rest = &rest[near + 1..];
        let from = first.saturating_sub(CONTEXT);
        let to = (last + CONTEXT + 1).min(lines.len());
        hunk(&lines, from, to, &mut text);
    }
    text
}

fn hunk(lines: &[Line<'_>], from: usize, to: usize, text: &mut String) {
    let count = |range: &[Line<'_>], of_old: bool| {
        range
            .iter()
            .filter(|line| match line {
                Line::Same(_) => true,
                Line::Old(_) => of_old,
                Line::New(_) => !of_old,
            })
            .count()
    };
    let span = |of_old: bool| {
        let (before, inside) = (
            count(&lines[..from], of_old),
            count(&lines[from..to], of_old),
        );
        // An empty range is named by the line before it.
        let start = if inside == 0 { before } else { before + 1 };
        format!("{start},{inside}")
    };
    text.push_str(&format!("@@ -{} +{} @@\n", span(true), span(false)));
    for line in &lines[from..to] {
        let (mark, line) = match line {
            Line::Same(line) => (' ', line),
            Line::Old(line) => ('-', line),
            Line::New(line) => ('+', line),
        };
        text.push(mark);
        text.push_str(line);
        text.push('\n');
    }
}

/// Both texts as one list, by their longest common subsequence.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tails = old[head..].iter().rev().zip(new[head..].iter().rev());
    let tail = tails.take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut lines: Vec<Line<'_>> = old[..head].iter().map(|l| Line::Same(l)).collect();
    if a.len().saturating_mul(b.len()) > MOST_CELLS {
        lines.extend(a.iter().map(|l| Line::Old(l)));
        lines.extend(b.iter().map(|l| Line::New(l)));
    } else {
        middle(a, b, &mut lines);
    }
    lines.extend(old[old.len() - tail..].iter().map(|l| Line::Same(l)));
    lines
}

fn middle<'a>(a: &[&'a str], b: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = b.len() + 1;
    // Length of the longest common subsequence of what is left from here on.
    let mut longest = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i * width + j] = if a[i] == b[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(Line::Same(a[i]));
            i += 1;
            j += 1;
        } else if j == b.len()
            || (i < a.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            lines.push(Line::Old(a[i]));
            i += 1;
        } else {
            lines.push(Line::New(b[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hunks_have_three_lines_of_context() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n";
        assert_eq!(
            unified(old, new),
            "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
             @@ -13,3 +13,4 @@\n 13\n 14\n 15\n+16\n"
        );
        assert_eq!(unified(old, old), "");
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
    }

    proptest! {
        #[test]
        fn both_texts_can_be_read_from_it(
            old in prop::collection::vec("[ab]", 0..12),
            new in prop::collection::vec("[ab]", 0..12),
        ) {
            let (old, new): (Vec<&str>, Vec<&str>) = (
                old.iter().map(String::as_str).collect(),
                new.iter().map(String::as_str).collect(),
            );
            let lines = compare(&old, &new);
            let read = |of_old: bool| -> Vec<&str> {
                lines
                    .iter()
                    .filter_map(|line| match line {
                        Line::Same(l) => Some(*l),
                        Line::Old(l) => of_old.then_some(*l),
                        Line::New(l) => (!of_old).then_some(*l),
                    })
                    .collect()
            };
            prop_assert_eq!(read(true), old);
            prop_assert_eq!(read(false), new);
        }
    }
}
