//! `jobset watch`: a JobSet while it runs, on the whole screen, or as lines where there is no terminal.

mod choice;
mod follow;
mod screen;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc;

use self::choice::{Choice, Then};
use self::follow::{Follower, Reading};
use crate::args::WatchArgs;
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::view::{self, SetView};
use crate::{engine, output, style};

/// Keys that may wait to be looked at.
const KEYS: usize = 64;

/// Shows the JobSet until the user has seen enough, or without a terminal until it has finished.
pub(super) async fn main(args: &WatchArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    // That there is none is said before the screen is taken.
    let first = follow::read(&at, &args.name, None).await?;
    if !args.plain && io::stdout().is_terminal() && io::stdin().is_terminal() {
        let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
        let ended = on_screen(&mut terminal, &at, first, args.interval).await;
        let restored = ratatui::try_restore();
        let exit = ended?;
        restored.context("cannot restore the terminal")?;
        return Ok(exit);
    }
    as_lines(&at, first, args.interval).await
}

/// Redraws after each key and each reading.
async fn on_screen(
    terminal: &mut DefaultTerminal,
    at: &Connection,
    first: Reading,
    interval: Duration,
) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    tokio::pin!(interrupted);
    let mut keys = keys();
    let mut follower = Follower::start(at.clone(), first.set.name.clone(), interval);
    let mut reading = first;
    let mut trouble = None;
    let mut choice = Choice::default();
    let colored = style::enabled_on_stdout();
    loop {
        choice.fit(&reading.set);
        follower.choose(choice.pod(&reading.set));
        terminal
            .draw(|frame| screen::draw(frame, &reading, trouble.as_deref(), &choice, colored))
            .context("cannot draw on the terminal")?;
        tokio::select! {
            result = &mut interrupted => { result?; return Ok(Exit::Interrupted); }
            event = keys.recv() => match event.context("the keyboard is gone")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    match choice.press(key, &reading.set) {
                        Then::GoOn => {}
                        Then::Quit => return Ok(Exit::Completed),
                        Then::Interrupt => return Ok(Exit::Interrupted),
                    }
                }
                _ => {}
            },
            next = follower.next() => match next {
                Ok(next) => {
                    reading = next;
                    trouble = None;
                }
                // What was read last stays on the screen.
                Err(error) => trouble = Some(view::one_line(&format!("{error:#}"))),
            },
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
async fn as_lines(at: &Connection, first: Reading, interval: Duration) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    tokio::pin!(interrupted);
    let mut follower = Follower::start(at.clone(), first.set.name.clone(), interval);
    let name = first.set.name.clone();
    let mut reading = first;
    let mut said = String::new();
    loop {
        let now = line(&reading.set);
        if now != said {
            let time = reading.now.strftime("%Y-%m-%dT%H:%M:%SZ");
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
            next = follower.next() => match next {
                Ok(next) => reading = next,
                Err(error) if error.is::<cluster::NoJobSet>() => {
                    output::text(&format!("JobSet {name}: deleted\n"))?;
                    return Ok(Exit::Completed);
                }
                Err(error) => eprintln!("{} {error:#}", style::warning("warning:")),
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
