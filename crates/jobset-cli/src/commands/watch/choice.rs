//! What the user has chosen, and what keys change of it. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::view::{JobView, SetView};

/// What the lower half shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Events,
    Logs,
}

/// The Job that is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Places in the view.
    pub(super) role: usize,
    /// Index of the Job in its role, whether it is there or not.
    pub(super) job: usize,
    /// Place among the Job's Pods.
    pub(super) pod: usize,
    pub(super) pane: Pane,
}

/// What follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    Quit,
    Interrupt,
}

impl Choice {
    /// Moves to something that is there, after the view has changed.
    pub(super) fn fit(&mut self, set: &SetView) {
        self.role = self.role.min(set.roles.len().saturating_sub(1));
        let jobs = set.roles.get(self.role).map_or(0, super::screen::places);
        self.job = self.job.min(jobs.saturating_sub(1));
        let pods = self.job(set).map_or(0, |job| job.pods.len());
        self.pod = self.pod.min(pods.saturating_sub(1));
    }

    /// The chosen Job, if it is there.
    pub(super) fn job<'a>(&self, set: &'a SetView) -> Option<&'a JobView> {
        let jobs = &set.roles.get(self.role)?.jobs;
        let index = self.job as i64;
        jobs.iter().find(|job| job.index == Some(index))
    }

    /// The name of the Pod whose log is shown.
    pub(super) fn pod(&self, set: &SetView) -> Option<String> {
        if self.pane == Pane::Events {
            return None;
        }
        let pod = self.job(set)?.pods.get(self.pod)?;
        Some(pod.name.clone())
    }

    /// Does what a key says.
    pub(super) fn press(&mut self, key: KeyEvent, set: &SetView) -> Then {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Then::Interrupt,
            KeyCode::Char('q') | KeyCode::Esc => return Then::Quit,
            KeyCode::Left | KeyCode::Char('h') => self.job = self.job.saturating_sub(1),
            KeyCode::Right | KeyCode::Char('l') => self.job += 1,
            KeyCode::Home => self.job = 0,
            KeyCode::End => self.job = usize::MAX,
            KeyCode::Up | KeyCode::Char('k') => self.role = self.role.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.role += 1,
            KeyCode::Char('p') => {
                let pods = self.job(set).map_or(0, |job| job.pods.len());
                self.pod = (self.pod + 1) % pods.max(1);
            }
            KeyCode::Char('f') => self.next_failed(set),
            KeyCode::Tab => {
                self.pane = match self.pane {
                    Pane::Events => Pane::Logs,
                    Pane::Logs => Pane::Events,
                };
            }
            _ => {}
        }
        self.fit(set);
        Then::GoOn
    }

    /// The next Job that has failed, of any role, from the beginning again after the last.
    fn next_failed(&mut self, set: &SetView) {
        let failed = set.roles.iter().enumerate().flat_map(|(place, role)| {
            let failed = role
                .jobs
                .iter()
                .filter(|job| matches!(job.state, "Failed" | "Failing"));
            failed.filter_map(move |job| Some((place, usize::try_from(job.index?).ok()?)))
        });
        let here = (self.role, self.job);
        let next = failed.clone().find(|place| *place > here);
        if let Some((role, job)) = next.or_else(|| failed.clone().next()) {
            (self.role, self.job) = (role, job);
        }
    }
}
