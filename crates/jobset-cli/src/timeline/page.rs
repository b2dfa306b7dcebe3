//! One file of HTML with timelines in it: nothing is loaded from anywhere.

use super::svg::{STYLE, drawing};
use super::{Timeline, show};

/// Marks that are listed; the newest are.
const LISTED: usize = 200;

const PAGE_STYLE: &str = "\
:root{color-scheme:light dark;--page:#fff;--text:#1c2128;--faint:#5d6673;--rule:#d9dde3;--box:#f5f6f8;--bad:#b92f2f;--good:#23774f}
@media screen and (prefers-color-scheme:dark){:root{--page:#14181e;--text:#e4e8ee;--faint:#98a2b0;--rule:#343b45;--box:#1d232b;--bad:#f08080;--good:#5cc796}}
body{margin:0 auto;max-width:1000px;padding:24px 20px 60px;background:var(--page);color:var(--text);font:14px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:32px 0 8px;border-bottom:1px solid var(--rule);padding-bottom:4px}
p{margin:4px 0}.faint{color:var(--faint)}.bad{color:var(--bad)}.good{color:var(--good)}
table{border-collapse:collapse;margin:8px 0}th,td{text-align:left;padding:3px 18px 3px 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{font-weight:600;color:var(--faint)}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
pre{background:var(--box);padding:12px 14px;border-radius:6px;overflow:auto;font:12px/1.5 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap}
pre span{display:block;min-height:1.5em;padding-left:calc(var(--in) + 2ch);text-indent:calc(-2ch - var(--in));overflow-wrap:anywhere}
.wide{overflow-x:auto}.wide svg{max-width:100%;min-width:720px;height:auto;display:block}
@media(max-width:600px){body{padding:16px 14px 40px}th,td{padding-right:12px}}
@media print{body{padding:0;max-width:none}pre{border:1px solid var(--rule)}h2{break-after:avoid}tr{break-inside:avoid}.wide{overflow:visible}.wide svg{min-width:0}}
";

/// A page that is being put together.
pub(crate) struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty one.
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            body: format!("<h1>{}</h1>\n", escape(title)),
        }
    }

    /// A heading.
    pub(crate) fn heading(&mut self, text: &str) {
        self.body.push_str(&format!("<h2>{}</h2>\n", escape(text)));
    }

    /// A paragraph of one of the classes of the style sheet.
    pub(crate) fn paragraph(&mut self, class: &str, text: &str) {
        self.body
            .push_str(&format!("<p class=\"{class}\">{}</p>\n", escape(text)));
    }

    /// Text whose lines stay as they are.
    pub(crate) fn lines(&mut self, text: &str) {
        self.body.push_str("<pre>");
        for line in text.trim_end().lines() {
            // Where a line is too long for the window, the rest of it stands further in.
            let indent = line.len() - line.trim_start_matches(' ').len();
            let line = escape(line);
            self.body
                .push_str(&format!("<span style=\"--in:{indent}ch\">{line}</span>"));
        }
        self.body.push_str("</pre>\n");
    }

    /// A table; the first row is the head. Cells that are numbers stand at the right.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) {
        let is_number = |column: usize| {
            let mut cells = rows.iter().skip(1).filter_map(|row| row.get(column));
            cells.all(|cell| {
                cell.is_empty() || cell.starts_with(|letter: char| letter.is_ascii_digit())
            })
        };
        self.body.push_str("<div class=\"wide\"><table>\n");
        for (at, row) in rows.iter().enumerate() {
            let tag = if at == 0 { "th" } else { "td" };
            self.body.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let class = if is_number(column) {
                    " class=\"number\""
                } else {
                    ""
                };
                let cell = escape(cell);
                self.body.push_str(&format!("<{tag}{class}>{cell}</{tag}>"));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</table></div>\n");
    }

    /// A timeline with the list of its marks.
    pub(crate) fn timeline(&mut self, timeline: &Timeline, most: usize) {
        let picture = drawing(timeline, most, "");
        self.body
            .push_str(&format!("<div class=\"wide\">\n{picture}</div>\n"));
        if timeline.marks.is_empty() {
            return;
        }
        let hidden = timeline.marks.len().saturating_sub(LISTED);
        if hidden > 0 {
            self.paragraph("faint", &format!("{hidden} earlier marks are not listed"));
        }
        let mut rows = vec![vec!["At".to_owned(), "What".to_owned(), String::new()]];
        for mark in &timeline.marks[hidden..] {
            rows.push(vec![show(mark.at), mark.kind.title(), mark.message.clone()]);
        }
        self.table(&rows);
    }

    /// The file.
    pub(crate) fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{}</title>\n<style>\n{PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            escape(&self.title),
            self.body
        )
    }
}

/// Text as a part of HTML or XML: nothing in it is markup, and no control character spoils the file.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
