//! Tables for the terminal.

use crate::style;

/// Aligns cells with two spaces between the columns; the first row is the head. Words that are
/// states are coloured.
pub(crate) fn table(rows: &[Vec<String>], colored: bool) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| {
                let padded = format!("{cell:width$}");
                match style::state_color(cell) {
                    Some(code) => style::paint(&padded, code, colored),
                    None => padded,
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_are_not_padded() {
        let rows = [vec!["A", "LONG", "C"], vec!["aaa", "b", ""]]
            .map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(table(&rows, false), "A    LONG  C\naaa  b\n");
    }
}
