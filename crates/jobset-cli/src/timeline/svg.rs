//! A timeline as a picture: one file, no script, light or dark as the reader's system is.

use std::fmt::Write as _;

use super::{Group, Millis, Phase, Row, Timeline, escape, show, tick_label, ticks};

const WIDTH: i64 = 960;
/// Where bars begin and end.
const LEFT: i64 = 170;
const RIGHT: i64 = 944;
/// Height of a row that has a label, and of one among too many for labels.
const ROW: i64 = 16;
const THIN_ROW: i64 = 5;
/// Rows of a group from which on they are thin.
const MANY: usize = 40;
/// Characters of a label.
const LABEL: usize = 24;
/// Marks that are labelled; more would lie on each other.
const LABELLED: usize = 40;

/// Colours by class. In a page of HTML they are given once, for all pictures in it.
pub(crate) const STYLE: &str = "\
.tl{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;print-color-adjust:exact;--ground:#fff;--ink:#1c2128;--dim:#5d6673;--line:#d9dde3;--lost:#d6454526;--pending:#c5cbd3;--suspended:#8d95a1;--starting:#e8a72c;--active:#8fc3ab;--ready:#2f9968;--succeeded:#3f7fc4;--failed:#d64545;--deleting:#a894bd}
@media screen and (prefers-color-scheme:dark){.tl{--ground:#14181e;--ink:#e4e8ee;--dim:#98a2b0;--line:#343b45;--lost:#e05c5c33;--pending:#4a525e;--suspended:#737c89;--starting:#d99a2b;--active:#4f8269;--ready:#38a877;--succeeded:#4d8fd6;--failed:#e05c5c;--deleting:#7f6d94}}
.tl text{fill:var(--ink);paint-order:stroke;stroke:var(--ground);stroke-width:3px}.tl .dim{fill:var(--dim)}.tl .grid{stroke:var(--line)}.tl .lost{fill:var(--lost)}
.tl .mark{stroke:var(--ink);stroke-dasharray:3 2}.tl .title{font-size:15px;font-weight:600}.tl .role{font-weight:600}.tl .small{font-size:11px}
.tl .pending{fill:var(--pending)}.tl .suspended{fill:var(--suspended)}.tl .starting{fill:var(--starting)}.tl .active{fill:var(--active)}
.tl .ready{fill:var(--ready)}.tl .succeeded{fill:var(--succeeded)}.tl .failed{fill:var(--failed)}.tl .deleting{fill:var(--deleting)}
";

/// The picture as a file. Of each role and attempt at most `most` Jobs are drawn (0: all).
pub(crate) fn svg(timeline: &Timeline, most: usize) -> String {
    // Without a page around it, the picture brings its own ground.
    let style = format!("<style>\n.tl{{background:var(--ground)}}\n{STYLE}</style>\n");
    drawing(timeline, most, &style)
}

/// The picture, with what comes first in it.
pub(crate) fn drawing(timeline: &Timeline, most: usize, first: &str) -> String {
    let mut body = String::new();
    let mut y = 24;
    // Writing to a string does not fail.
    let _ = writeln!(
        body,
        "<text class=\"title\" x=\"16\" y=\"{y}\">{}</text>",
        escape(&format!(
            "JobSet {}/{}: {}",
            timeline.namespace, timeline.name, timeline.state
        )),
    );
    y += 18;
    let _ = writeln!(
        body,
        "<text class=\"dim\" x=\"16\" y=\"{y}\">{} since {}, {}</text>",
        show(timeline.end),
        timeline.start.0.strftime("%Y-%m-%d %H:%M:%S UTC"),
        super::text::cost(timeline),
    );
    y += 12;
    legend(timeline, &mut body, &mut y);
    let top = y;
    y += 34;
    let bottom = groups_height(timeline, most) + y;
    grid(timeline, &mut body, top, bottom);
    for group in &timeline.groups {
        draw(group, timeline.end, most, &mut body, &mut y);
    }
    let mut height = bottom + 12;
    for note in &timeline.notes {
        height += 16;
        let _ = writeln!(
            body,
            "<text class=\"dim\" x=\"16\" y=\"{}\">{}</text>",
            height - 12,
            escape(note)
        );
    }
    format!(
        "<svg class=\"tl\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">\n{first}{body}</svg>\n",
        escape(&format!("Timeline of JobSet {}", timeline.name)),
    )
}

/// The place of a time.
fn x(at: Millis, end: Millis) -> f64 {
    let share = at as f64 / end.max(1) as f64;
    LEFT as f64 + share * (RIGHT - LEFT) as f64
}

fn legend(timeline: &Timeline, body: &mut String, y: &mut i64) {
    let mut at = 16;
    for phase in timeline.phases() {
        let name = phase.name();
        let _ = writeln!(
            body,
            "<rect class=\"{name}\" x=\"{at}\" y=\"{y}\" width=\"11\" height=\"11\" rx=\"2\"/><text class=\"small\" x=\"{}\" y=\"{}\">{name}</text>",
            at + 16,
            *y + 10,
        );
        at += 32 + name.len() as i64 * 7;
    }
    if !timeline.lost.is_empty() {
        let _ = writeln!(
            body,
            "<rect class=\"lost\" x=\"{at}\" y=\"{y}\" width=\"11\" height=\"11\" rx=\"2\"/><text class=\"small\" x=\"{}\" y=\"{}\">lost to restarts</text>",
            at + 16,
            *y + 10,
        );
    }
    *y += 20;
}

/// Axis, what was lost, and marks, behind the bars.
fn grid(timeline: &Timeline, body: &mut String, top: i64, bottom: i64) {
    for at in ticks(timeline.end, 8) {
        let x = x(at, timeline.end);
        let _ = writeln!(
            body,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom}\"/><text class=\"dim small\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            top + 30,
            top + 10,
            tick_label(at),
        );
    }
    for window in &timeline.lost {
        let (from, to) = (x(window.from, timeline.end), x(window.to, timeline.end));
        let _ = writeln!(
            body,
            "<rect class=\"lost\" x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"><title>{} lost to a restart</title></rect>",
            top + 30,
            (to - from).max(1.0),
            bottom - top - 30,
            show(window.to - window.from),
        );
    }
    let labelled = timeline.marks.len() <= LABELLED;
    let mut free = 0.0;
    for mark in &timeline.marks {
        let x = x(mark.at, timeline.end);
        let title = mark.kind.title();
        let separator = if mark.message.is_empty() { "" } else { ": " };
        let _ = writeln!(
            body,
            "<line class=\"mark\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom}\"><title>{}</title></line>",
            top + 26,
            escape(&format!(
                "{} {title}{separator}{}",
                show(mark.at),
                mark.message
            )),
        );
        // At the right edge a label ends where its line is.
        let width = title.len() as f64 * 6.0;
        let (anchor, from) = if x + width > WIDTH as f64 {
            ("end", x - width)
        } else {
            ("start", x)
        };
        if labelled && from >= free {
            let _ = writeln!(
                body,
                "<text class=\"small\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{title}</text>",
                top + 23,
            );
            free = from + width + 6.0;
        }
    }
}

fn row_height(rows: usize) -> i64 {
    if rows > MANY { THIN_ROW } else { ROW }
}

fn groups_height(timeline: &Timeline, most: usize) -> i64 {
    let heights = timeline.groups.iter().map(|group| {
        let rows = group.drawn(most).len();
        let hidden = if rows < group.rows.len() { ROW } else { 0 };
        22 + rows as i64 * row_height(rows) + hidden + 6
    });
    heights.sum()
}

fn draw(group: &Group, end: Millis, most: usize, body: &mut String, y: &mut i64) {
    let _ = writeln!(
        body,
        "<text x=\"16\" y=\"{}\"><tspan class=\"role\">{}</tspan><tspan class=\"dim\" dx=\"8\">{}</tspan></text>",
        *y + 15,
        escape(&group.title()),
        escape(&group.summary()),
    );
    *y += 22;
    let rows = group.drawn(most);
    let height = row_height(rows.len());
    for row in &rows {
        bar(row, end, *y, height, body);
        *y += height;
    }
    let hidden = group.rows.len() - rows.len();
    if hidden > 0 {
        let _ = writeln!(
            body,
            "<text class=\"dim small\" x=\"{LEFT}\" y=\"{}\">… {} not drawn</text>",
            *y + 12,
            crate::view::count(hidden as i64, "Job"),
        );
        *y += ROW;
    }
    *y += 6;
}

fn bar(row: &Row, end: Millis, y: i64, height: i64, body: &mut String) {
    let label = row.label();
    if height == ROW {
        let short: String = if label.chars().count() > LABEL {
            let cut = label.chars().take(LABEL - 1);
            cut.chain(['…']).collect()
        } else {
            label.clone()
        };
        let _ = writeln!(
            body,
            "<text class=\"small\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8,
            y + 11,
            escape(&short),
        );
    }
    let gap = if height == ROW { 3 } else { 1 };
    for span in &row.spans {
        let (from, to) = (x(span.window.from, end), x(span.window.to, end));
        // A failure is seen however short it was.
        let least = if span.phase == Phase::Failed {
            2.0
        } else {
            0.3
        };
        let _ = writeln!(
            body,
            "<rect class=\"{}\" x=\"{from:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\"><title>{}: {} for {}, from {}</title></rect>",
            span.phase.name(),
            (to - from).max(least),
            height - gap,
            escape(&label),
            span.phase.name(),
            show(span.window.to - span.window.from),
            show(span.window.from),
        );
    }
}
