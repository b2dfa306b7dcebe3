//! A timeline for the terminal: one line a Job, one character a stretch of time.

use super::{Millis, Phase, Row, Timeline, Window, show, tick_label, ticks};
use crate::style::paint;

/// Labels are cut at this width.
const WIDEST_LABEL: usize = 32;
/// Bars are never narrower.
const NARROWEST_BAR: usize = 20;
/// Marks that are listed; the newest are.
const LISTED: usize = 20;

impl Phase {
    /// What the bar consists of.
    pub(crate) fn glyph(self) -> char {
        match self {
            Self::Pending => '·',
            Self::Suspended => '|',
            Self::Starting => '░',
            Self::Active => '▒',
            Self::Ready => '█',
            Self::Succeeded => '=',
            Self::Failed => 'x',
            Self::Deleting => '-',
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Pending => "2",
            Self::Suspended | Self::Starting => "33",
            Self::Active | Self::Ready => "32",
            Self::Succeeded => "36",
            Self::Failed => "31",
            Self::Deleting => "35",
        }
    }
}

/// The timeline in lines of this width. Of each role and attempt at most `most` Jobs are drawn (0: all).
pub(crate) fn text(timeline: &Timeline, width: usize, most: usize, colored: bool) -> String {
    let labels = timeline
        .groups
        .iter()
        .flat_map(|group| group.drawn(most))
        .map(|row| row.label().chars().count());
    let label = labels.max().unwrap_or(0).min(WIDEST_LABEL);
    // Two spaces before the label, one after it, the two ends of the bar, and the word behind it.
    let outcome = " succeeded".len();
    let bar = width.saturating_sub(label + 5 + outcome).max(NARROWEST_BAR);
    let indent = " ".repeat(label + 4);
    let mut text = format!("{}\n\n", head(timeline, colored));
    text.push_str(&format!("{indent}{}\n", axis(timeline.end, bar)));
    if !timeline.marks.is_empty() {
        text.push_str(&format!("{indent}{}\n", marks(timeline, bar)));
    }
    for group in &timeline.groups {
        let title = paint(&group.title(), "1", colored);
        text.push_str(&format!("{title}  {}\n", group.summary()));
        let drawn = group.drawn(most);
        for row in &drawn {
            let name: String = row.label().chars().take(label).collect();
            let outcome = row.outcome().unwrap_or(Phase::Pending);
            text.push_str(&format!(
                "  {name:label$} │{}│ {}\n",
                cells(row, timeline.end, bar, colored),
                paint(outcome.name(), outcome.color(), colored),
            ));
        }
        let hidden = group.rows.len() - drawn.len();
        if hidden > 0 {
            let hidden = crate::view::count(hidden as i64, "Job");
            text.push_str(&format!("  … {hidden} not drawn\n"));
        }
    }
    let legend: Vec<String> = timeline
        .phases()
        .into_iter()
        .map(|phase| {
            let glyph = paint(&phase.glyph().to_string(), phase.color(), colored);
            format!("{glyph} {}", phase.name())
        })
        .collect();
    if !legend.is_empty() {
        text.push_str(&format!("\n{}\n", legend.join("  ")));
    }
    text.push_str(&listed(timeline));
    for note in &timeline.notes {
        text.push_str(&format!("({note})\n"));
    }
    text
}

fn head(timeline: &Timeline, colored: bool) -> String {
    let state = match crate::style::state_color(&timeline.state) {
        Some(code) => paint(&timeline.state, code, colored),
        None => timeline.state.clone(),
    };
    format!(
        "JobSet {}/{}: {state}, {} since {}, {}",
        timeline.namespace,
        timeline.name,
        show(timeline.end),
        timeline.start.0.strftime("%Y-%m-%dT%H:%M:%SZ"),
        cost(timeline),
    )
}

/// `2 restarts, 12.0s lost to them`.
pub(super) fn cost(timeline: &Timeline) -> String {
    let restarts = crate::view::count(timeline.restarts, "restart");
    if timeline.restarts == 0 && timeline.lost.is_empty() {
        return restarts;
    }
    format!("{restarts}, {} lost to restarts", show(timeline.lost_total))
}

/// The cell of a time.
fn cell(at: Millis, end: Millis, width: usize) -> usize {
    let place = i128::from(at) * width as i128 / i128::from(end.max(1));
    usize::try_from(place)
        .unwrap_or(0)
        .min(width.saturating_sub(1))
}

/// Round times above the cells that they begin.
fn axis(end: Millis, width: usize) -> String {
    let mut line = vec![' '; width];
    let mut free = 0;
    for at in ticks(end, (width / 12).max(1) as i64) {
        let place = cell(at, end, width);
        let label = tick_label(at);
        if place >= free && place + label.len() <= width {
            for (offset, letter) in label.chars().enumerate() {
                line[place + offset] = letter;
            }
            free = place + label.len() + 1;
        }
    }
    let line: String = line.into_iter().collect();
    line.trim_end().to_owned()
}

fn marks(timeline: &Timeline, width: usize) -> String {
    let mut line = vec![' '; width];
    for mark in &timeline.marks {
        let place = cell(mark.at, timeline.end, width);
        line[place] = match line[place] {
            ' ' => mark.kind.letter(),
            there if there == mark.kind.letter() => there,
            _ => '*',
        };
    }
    let line: String = line.into_iter().collect();
    line.trim_end().to_owned()
}

/// The bar of a Job. In each cell is what took most of it; that it failed is never hidden.
fn cells(row: &Row, end: Millis, width: usize, colored: bool) -> String {
    let mut phases: Vec<Option<(Phase, Millis)>> = vec![None; width];
    for span in &row.spans {
        let Window { from, to } = span.window;
        let first = cell(from, end, width);
        let last = cell((to - 1).max(from), end, width);
        for (place, there) in phases.iter_mut().enumerate().take(last + 1).skip(first) {
            let begin = place as i64 * end / width as i64;
            let finish = (place as i64 + 1) * end / width as i64;
            let share = if span.phase == Phase::Failed && place == first {
                Millis::MAX
            } else {
                to.min(finish) - from.max(begin)
            };
            // Of what took no time, the last is what is left.
            if there.is_none_or(|(_, other)| share > other || (share == 0 && from == end)) {
                *there = Some((span.phase, share));
            }
        }
    }
    phases
        .chunk_by(|a, b| a.map(|(phase, _)| phase) == b.map(|(phase, _)| phase))
        .map(|run| match run.first() {
            Some(Some((phase, _))) => {
                let glyphs = phase.glyph().to_string().repeat(run.len());
                paint(&glyphs, phase.color(), colored)
            }
            _ => " ".repeat(run.len()),
        })
        .collect()
}

fn listed(timeline: &Timeline) -> String {
    let hidden = timeline.marks.len().saturating_sub(LISTED);
    let mut text = String::new();
    if !timeline.marks.is_empty() {
        text.push('\n');
    }
    if hidden > 0 {
        text.push_str(&format!("… {hidden} earlier marks\n"));
    }
    for mark in &timeline.marks[hidden..] {
        let separator = if mark.message.is_empty() { "" } else { ": " };
        text.push_str(&format!(
            "{} {:>6}  {}{separator}{}\n",
            mark.kind.letter(),
            show(mark.at),
            mark.kind.title(),
            mark.message,
        ));
    }
    text
}
