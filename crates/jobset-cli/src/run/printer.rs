//! Writing to the terminal: lines that stay, above live lines that are redrawn.

use std::io::{self, IsTerminal as _, Write};

/// Prints lines, and keeps the live lines below them when standard error is a terminal.
pub(super) struct Printer {
    terminal: bool,
    drawn: usize,
    /// Why standard output takes nothing any more.
    deaf: Option<io::Error>,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            drawn: 0,
            deaf: None,
        }
    }

    /// Whether live lines are shown.
    pub(super) fn is_live(&self) -> bool {
        self.terminal
    }

    /// Columns of the terminal.
    pub(super) fn width() -> usize {
        terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0))
    }

    /// Removes the live lines.
    pub(super) fn clear(&mut self) {
        if self.drawn > 0 {
            // Up to the first live line, then erase to the end of the screen.
            let _ = write!(io::stderr(), "\x1b[{}A\r\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    /// Draws the live lines. Call [`Printer::clear`] before anything else is printed.
    pub(super) fn draw(&mut self, lines: &[String]) {
        if !self.terminal {
            return;
        }
        self.clear();
        let mut text = lines.join("\n");
        text.push('\n');
        if io::stderr().write_all(text.as_bytes()).is_ok() {
            self.drawn = lines.len();
        }
    }

    /// Prints to standard output.
    pub(super) fn out(&mut self, text: &str) {
        if self.deaf.is_none() {
            let mut stdout = io::stdout().lock();
            self.deaf = stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush())
                .err();
        }
    }

    /// Whether all was printed that somebody wanted to read. A reader that has ended, as `head` does, is no
    /// loss; a disk that is full is.
    pub(super) fn printed(&mut self) -> io::Result<()> {
        match self.deaf.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    /// Prints to standard error.
    pub(super) fn err(text: &str) {
        // Nowhere is left to say that standard error is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
