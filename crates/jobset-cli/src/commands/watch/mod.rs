//! `jobset watch`: a JobSet while it runs, on the whole screen, or as lines where there is no terminal.

mod choice;
mod log;
mod reading;
mod screen;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::jiff::Timestamp;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::choice::{Choice, Then};
use self::log::Tail;
use self::reading::Reading;
use self::screen::Shown;
use crate::args::WatchArgs;
use crate::cluster::{self, Connection, Live};
use crate::exit::Exit;
use crate::view::{self, PodViews, SetView};
use crate::{engine, output, style};

/// Keys that may wait to be looked at.
const KEYS: usize = 64;
/// Lines of a log that come one after the other are drawn at once.
const LOG_PACE: Duration = Duration::from_millis(50);
/// The times on the screen are whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// Shows the JobSet until the user has seen enough, or without a terminal until it has finished.
pub(super) async fn main(args: &WatchArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let mut watched = Watched::follow(&at, &args.name, args.interval);
    // That there is none is said before the screen is taken.
    let first = watched.next().await?;
    if !args.plain && io::stdout().is_terminal() && io::stdin().is_terminal() {
        let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
        let ended = on_screen(&mut terminal, at, watched, first).await;
        let restored = ratatui::try_restore();
        let exit = ended?;
        restored.context("cannot restore the terminal")?;
        return Ok(exit);
    }
    as_lines(watched, first).await
}

/// Readings of a JobSet, whenever it changes.
struct Watched {
    live: Live,
    views: PodViews,
}

impl Watched {
    fn follow(at: &Connection, name: &str, pace: Duration) -> Self {
        Self {
            live: Live::follow(at, name, pace),
            views: PodViews::default(),
        }
    }

    async fn next(&mut self) -> anyhow::Result<Reading> {
        let snapshot = self.live.next().await?;
        Ok(Reading::of(&snapshot, &mut self.views))
    }
}

/// Redraws after each key, each change, and each second for the times.
async fn on_screen(
    terminal: &mut DefaultTerminal,
    at: Connection,
    mut watched: Watched,
    first: Reading,
) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    tokio::pin!(interrupted);
    let mut keys = keys();
    let mut tail = Tail::new(at);
    let mut reading = first;
    let mut choice = Choice::default();
    let mut deleted = None;
    let colored = style::enabled_on_stdout();
    let mut second = interval(TICK);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // When lines of the log that have come are drawn.
    let mut lines = None;
    loop {
        choice.fit(&reading.set);
        let pod = choice.pod(&reading.set);
        tail.choose(pod.and_then(|pod| reading.target(&pod)));
        if lines.is_none_or(|due| due <= Instant::now()) {
            lines = None;
            let shown = Shown {
                reading: &reading,
                log: tail.log(),
                now: Timestamp::now(),
                interruption: watched.live.interruption(),
                deleted,
                colored,
            };
            terminal
                .draw(|frame| screen::draw(frame, &shown, &choice))
                .context("cannot draw on the terminal")?;
        }
        let due = lines.unwrap_or_else(Instant::now);
        tokio::select! {
            result = &mut interrupted => { result?; return Ok(Exit::Interrupted); }
            event = keys.recv() => {
                lines = None;
                match event.context("the keyboard is gone")? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        match choice.press(key, &reading.set) {
                            Then::GoOn => {}
                            Then::Quit => return Ok(Exit::Completed),
                            Then::Interrupt => return Ok(Exit::Interrupted),
                        }
                    }
                    _ => {}
                }
            }
            next = watched.next() => {
                lines = None;
                match next {
                    Ok(next) => {
                        reading = next;
                        deleted = None;
                    }
                    // What was told last stays on the screen.
                    Err(error) if error.is::<cluster::NoJobSet>() => {
                        deleted = deleted.or_else(|| Some(Timestamp::now()));
                    }
                    // The interruption is shown as long as it lasts.
                    Err(_) => {}
                }
            }
            () = tail.changed() => lines = lines.or_else(|| Some(Instant::now() + LOG_PACE)),
            () = sleep_until(due), if lines.is_some() => {}
            _ = second.tick() => lines = None,
        }
    }
}

/// What is typed. The thread ends with the process: it waits for the terminal.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Prints a line whenever something has changed.
async fn as_lines(mut watched: Watched, first: Reading) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    tokio::pin!(interrupted);
    let name = first.set.name.clone();
    let mut reading = first;
    let mut said = String::new();
    // The same trouble is told once.
    let mut warned = String::new();
    loop {
        let now = line(&reading.set);
        if now != said {
            let time = reading.at.strftime("%Y-%m-%dT%H:%M:%SZ");
            if !output::text(&format!("{time} {now}\n"))? {
                return Ok(Exit::Completed);
            }
            said = now;
        }
        if reading.set.finished.is_some() {
            return Ok(Exit::Completed);
        }
        tokio::select! {
            result = &mut interrupted => { result?; return Ok(Exit::Interrupted); }
            next = watched.next() => match next {
                Ok(next) => {
                    reading = next;
                    if watched.live.interruption().is_none() {
                        warned.clear();
                    }
                }
                Err(error) if error.is::<cluster::NoJobSet>() => {
                    output::text(&format!("JobSet {name}: deleted\n"))?;
                    return Ok(Exit::Completed);
                }
                Err(error) => {
                    let trouble = format!("{error:#}");
                    if trouble != warned {
                        eprintln!("{} {trouble}; trying again", style::warning("warning:"));
                        warned = trouble;
                    }
                }
            },
        }
    }
}

/// The JobSet in one line.
fn line(set: &SetView) -> String {
    let mut parts = vec![format!(
        "{}: {}, {}",
        set.name,
        set.state,
        view::count(set.restarts, "restart")
    )];
    for role in &set.roles {
        let mut part = format!(
            "{} {}/{}",
            role.name,
            role.ready + role.succeeded,
            role.replicas
        );
        for (number, word) in [
            (role.succeeded, "succeeded"),
            (role.failed, "failed"),
            (role.suspended, "suspended"),
            (role.terminating, "terminating"),
        ] {
            if number > 0 {
                part.push_str(&format!(" {number} {word}"));
            }
        }
        parts.push(part);
    }
    parts.join("; ")
}
