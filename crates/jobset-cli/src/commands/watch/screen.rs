//! The screen, as a function of what is known and what is chosen. Pure.

use k8s_openapi::jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::choice::{Choice, Pane};
use super::log::{Log, State};
use super::reading::Reading;
use crate::timeline::Phase;
use crate::view::{self, PodView, RoleView, SetView};

/// Columns of a role's name, at least.
const NAME: usize = 16;
/// Columns of a role's counts, at the end of its line.
const COUNTS: usize = 13;
/// Lines below the roles: the chosen Job, its Pods, and at least some of events or log.
const BELOW: usize = 9;
/// What the cells mean.
const LEGEND: &str =
    " · pending  | suspended  ░ starting  █ ready  = succeeded  x failed  - deleting";
/// Jobs of a role that are shown; the API allows more than any memory holds.
const MOST_JOBS: usize = 100_000;
/// Pods of a Job that are listed.
const PODS: usize = 3;

/// Places for the Jobs of a role, whether they are there or not.
pub(super) fn places(role: &RoleView) -> usize {
    let replicas = usize::try_from(role.replicas).unwrap_or(0);
    replicas.max(role.jobs.len()).min(MOST_JOBS)
}

/// What there is to show.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) reading: &'a Reading,
    /// Of the Pod that is chosen.
    pub(super) log: Option<&'a Log>,
    pub(super) now: Timestamp,
    /// Why what was told last may be out of date.
    pub(super) interruption: Option<&'a str>,
    /// When it was first seen that the JobSet is gone.
    pub(super) deleted: Option<Timestamp>,
    pub(super) colored: bool,
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown<'_>, choice: &Choice) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let paint = Paint {
        colored: shown.colored,
    };
    let reading = shown.reading;
    let mut lines = vec![title(shown, paint)];
    lines.push(match (shown.interruption, shown.deleted) {
        (Some(why), _) => {
            let age = view::age(Some(reading.at), shown.now);
            let why = view::one_line(why);
            Line::styled(
                format!("as of {age} ago: {why}; trying again"),
                paint.warning(),
            )
        }
        (None, Some(at)) => {
            let age = view::age(Some(at), shown.now);
            Line::styled(format!("it was deleted {age} ago"), paint.warning())
        }
        (None, None) => because(&reading.set),
    });
    let room = height.saturating_sub(lines.len() + BELOW + 1);
    lines.extend(roles(&reading.set, choice, width, room, paint));
    lines.push(Line::styled(
        cut(LEGEND, width),
        paint.color(Color::DarkGray),
    ));
    lines.extend(chosen(&reading.set, choice, paint));
    lines.push(Line::raw(""));
    let room = height.saturating_sub(lines.len() + 1);
    lines.extend(pane(shown, choice, room, paint));
    let keys = " ←→ Job  ↑↓ role  f failed  p Pod  Tab events/logs  q quit";
    let body = Rect {
        height: area.height.saturating_sub(1),
        ..area
    };
    let foot = Rect {
        y: area.y + body.height,
        height: area.height.min(1),
        ..area
    };
    frame.render_widget(Paragraph::new(lines), body);
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let keys = format!("{keys:width$}");
    frame.render_widget(Paragraph::new(Line::styled(keys, reversed)), foot);
}

/// Styles, or none where colours are not wanted.
#[derive(Clone, Copy)]
struct Paint {
    colored: bool,
}

impl Paint {
    fn color(self, color: Color) -> Style {
        if self.colored {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    fn warning(self) -> Style {
        self.color(Color::Yellow)
    }

    fn phase(self, phase: Option<Phase>) -> Style {
        self.color(match phase {
            None | Some(Phase::Pending) => Color::DarkGray,
            Some(Phase::Suspended | Phase::Starting) => Color::Yellow,
            Some(Phase::Active | Phase::Ready) => Color::Green,
            Some(Phase::Succeeded) => Color::Cyan,
            Some(Phase::Failed) => Color::Red,
            Some(Phase::Deleting) => Color::Magenta,
        })
    }

    fn state(self, word: &str) -> Style {
        match word {
            "Completed" | "Succeeded" => self.color(Color::Cyan),
            "Running" => self.color(Color::Green),
            "Failed" | "Failing" | "Error" | "Warning" => self.color(Color::Red),
            "Terminating" | "Gone" | "Deleted" => self.color(Color::Magenta),
            _ => self.color(Color::Yellow),
        }
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn title(shown: &Shown<'_>, paint: Paint) -> Line<'static> {
    let set = &shown.reading.set;
    let state = if shown.deleted.is_some() {
        "Deleted"
    } else {
        set.state
    };
    let created = set.created.as_ref().map(|time| time.0);
    let restarts = view::count(set.restarts, "restart");
    let restarts = match set.max_restarts {
        Some(most) if set.counted_restarts == set.restarts => {
            format!("{} of at most {most} restarts", set.restarts)
        }
        Some(most) => format!(
            "{restarts}, {} of at most {most} counted",
            set.counted_restarts
        ),
        None => restarts,
    };
    Line::from(vec![
        Span::styled(format!("{}/{}  ", set.namespace, set.name), bold()),
        Span::styled(state, paint.state(state).add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {restarts}  {}", view::age(created, shown.now))),
    ])
}

fn because(set: &SetView) -> Line<'static> {
    if !set.reason.is_empty() {
        return Line::raw(format!("{}: {}", set.reason, view::one_line(&set.message)));
    }
    if set.state != "Starting" {
        return Line::raw("");
    }
    let missing = set
        .roles
        .iter()
        .filter(|role| role.ready + role.succeeded < role.replicas);
    let missing: Vec<String> = missing
        .map(|role| {
            let after = if role.after.is_empty() || !role.jobs.is_empty() {
                String::new()
            } else {
                format!(" (starts after {})", role.after.join(", "))
            };
            let up = role.ready + role.succeeded;
            format!("{} {up} of {}{after}", role.name, role.replicas)
        })
        .collect();
    Line::raw(format!("not ready: {}", missing.join("; ")))
}

/// The Jobs of a role at their places: what each does, or nothing if it is not there.
fn cells(role: &RoleView) -> Vec<Option<Phase>> {
    let mut cells = vec![None; places(role)];
    for job in &role.jobs {
        let place = job.index.and_then(|index| usize::try_from(index).ok());
        if let Some(cell) = place.and_then(|place| cells.get_mut(place)) {
            *cell = Some(Phase::of_state(job.state));
        }
    }
    cells
}

/// The state of several Jobs in one cell: what most needs to be seen.
fn worst(cells: &[Option<Phase>]) -> Option<Phase> {
    let weight = |phase: &Option<Phase>| match phase {
        Some(Phase::Failed) => 8,
        Some(Phase::Deleting) => 7,
        None => 6,
        Some(Phase::Pending) => 5,
        Some(Phase::Suspended) => 4,
        Some(Phase::Starting) => 3,
        Some(Phase::Active | Phase::Ready) => 2,
        Some(Phase::Succeeded) => 1,
    };
    cells
        .iter()
        .max_by_key(|phase| weight(phase))
        .copied()
        .flatten()
}

/// The roles in so many lines: as many cells as there is room for, each for one or more Jobs.
fn roles(
    set: &SetView,
    choice: &Choice,
    width: usize,
    room: usize,
    paint: Paint,
) -> Vec<Line<'static>> {
    let longest = set.roles.iter().map(|role| role.name.chars().count() + 1);
    let name_width = longest.max().unwrap_or(0).clamp(NAME, NAME.max(width / 4));
    let row = width.saturating_sub(name_width + COUNTS + 2).max(8);
    let room = room.max(1);
    // More roles than lines: those around the chosen one.
    let first = (choice.role + 1).saturating_sub(room);
    let shown = set.roles.len().min(room).max(1);
    let each = (room / shown).max(1);
    let mut lines = Vec::new();
    for (at, role) in set.roles.iter().enumerate().skip(first).take(shown) {
        let cells = cells(role);
        let per_cell = cells.len().div_ceil(row * each).max(1);
        let mut spans = Vec::new();
        for (place, jobs) in cells.chunks(per_cell).enumerate() {
            let phase = worst(jobs);
            let here = at == choice.role && place == choice.job / per_cell;
            let style = paint.phase(phase);
            let style = if here {
                style.add_modifier(Modifier::REVERSED | Modifier::BOLD)
            } else {
                style
            };
            spans.push((phase.map_or(' ', Phase::glyph), style, here));
        }
        let counts = format!("{}/{}", role.ready + role.succeeded, places(role));
        let rows = spans.chunks(row).map(<[_]>::to_vec).collect::<Vec<_>>();
        for (line, cells) in rows.into_iter().enumerate() {
            let name = match line {
                0 => cut(&role.name, name_width - 1),
                1 if per_cell > 1 => format!(" {per_cell} Jobs a cell"),
                _ => String::new(),
            };
            let style = if at == choice.role && line == 0 {
                bold()
            } else {
                Style::new()
            };
            let mut parts = vec![Span::styled(format!("{name:name_width$}│"), style)];
            let drawn = cells.len();
            // Neighbours of one style are one span.
            for run in cells.chunk_by(|a, b| a.1 == b.1) {
                let Some((_, style, here)) = run.first() else {
                    continue;
                };
                let text: String = run.iter().map(|(glyph, _, _)| *glyph).collect();
                // A place without a Job is seen when it is chosen.
                let text = if *here { text.replace(' ', "_") } else { text };
                parts.push(Span::styled(text, *style));
            }
            let pad = " ".repeat(row - drawn);
            let counts = if line == 0 { counts.as_str() } else { "" };
            parts.push(Span::raw(format!("{pad}│{counts:>COUNTS$}")));
            lines.push(Line::from(parts));
        }
    }
    lines
}

/// The chosen Job and its Pods.
fn chosen(set: &SetView, choice: &Choice, paint: Paint) -> Vec<Line<'static>> {
    let Some(role) = set.roles.get(choice.role) else {
        return vec![Line::raw("there are no roles")];
    };
    let Some(job) = choice.job(set) else {
        let after = if role.after.is_empty() {
            String::new()
        } else {
            format!("; {} starts after {}", role.name, role.after.join(", "))
        };
        let text = format!("{}-{} is not there{after}", role.name, choice.job);
        return vec![Line::raw(text)];
    };
    let mut facts = format!("  attempt {}", job.attempt);
    if job.own_attempt > 0 {
        facts.push_str(&format!(", restart {} of its own", job.own_attempt));
    }
    if !job.reason.is_empty() {
        facts.push_str(&format!("  {}", job.reason));
    }
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("{}  ", job.name), bold()),
        Span::styled(job.state, paint.state(job.state)),
        Span::raw(facts),
    ])];
    // The chosen Pod is among those that are listed.
    let first = (choice.pod + 1).saturating_sub(PODS);
    for (at, pod) in job.pods.iter().enumerate().skip(first).take(PODS) {
        lines.push(pod_line(pod, at == choice.pod, paint));
    }
    let hidden = job.pods.len().saturating_sub(PODS);
    if hidden > 0
        && let Some(last) = lines.last_mut()
    {
        last.push_span(format!("  … {hidden} more"));
    }
    lines
}

fn pod_line(pod: &PodView, here: bool, paint: Paint) -> Line<'static> {
    let node = pod.node.as_ref().map(|node| format!(" on {node}"));
    let separator = if pod.reason.is_empty() { "" } else { "  " };
    Line::from(vec![
        Span::raw(format!("{} {}  ", if here { ">" } else { " " }, pod.name)),
        Span::styled(pod.state.clone(), paint.state(&pod.state)),
        Span::raw(format!(
            " {}{}{separator}{}",
            pod.ready,
            node.unwrap_or_default(),
            pod.reason
        )),
    ])
}

/// Events, or the log of the chosen Pod, in so many lines.
fn pane(shown: &Shown<'_>, choice: &Choice, room: usize, paint: Paint) -> Vec<Line<'static>> {
    let reading = shown.reading;
    let room = room.saturating_sub(1);
    let mut lines = Vec::new();
    match choice.pane {
        Pane::Events => {
            lines.push(Line::styled("Events", bold()));
            let first = reading.told.len().saturating_sub(room);
            for one in &reading.told[first..] {
                let age = view::age(Some(one.newest.last.0), shown.now);
                let style = if one.newest.is_warning() {
                    paint.warning()
                } else {
                    Style::new()
                };
                lines.push(Line::from(vec![
                    Span::raw(format!("{age:>6} {} ", one.about())),
                    Span::styled(one.newest.reason.clone(), style),
                    Span::raw(match one.note() {
                        "" => String::new(),
                        note => format!(": {}", view::one_line(note)),
                    }),
                ]));
            }
        }
        Pane::Logs => {
            let chosen = choice.pod(&reading.set);
            let log = shown.log.filter(|log| Some(&log.pod) == chosen.as_ref());
            let title = chosen.as_deref().unwrap_or("there is no Pod");
            let over = match log.map(|log| &log.state) {
                Some(State::Ended) => " (ended)",
                _ => "",
            };
            lines.push(Line::styled(format!("Log of {title}{over}"), bold()));
            let Some(log) = log else {
                if chosen.is_some() {
                    lines.push(Line::raw("it has not started"));
                }
                return lines;
            };
            let failed = match &log.state {
                State::Failed(why) => Some(why),
                _ => None,
            };
            let room = room - usize::from(failed.is_some()).min(room);
            let first = log.lines.len().saturating_sub(room);
            lines.extend(log.lines.range(first..).map(|line| Line::raw(line.clone())));
            if let Some(why) = failed {
                let why = format!("cannot be read: {}", view::one_line(why));
                lines.push(Line::styled(why, paint.warning()));
            }
            if log.state == State::Asked && log.lines.is_empty() {
                lines.push(Line::raw("…"));
            }
        }
    }
    lines
}

/// Text of at most so many characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start = text.chars().take(width.saturating_sub(1));
    start.chain(['…']).collect()
}

#[cfg(test)]
mod tests;
