//! What `outgate top` shows and how keys change it. No terminal, no socket, no clock.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ipnetwork::IpNetwork;
use serde::Serialize;

use crate::{
    api::view::{FlagView, StatusView},
    radar::view::{RadarView, SourceView},
};

/// What the controller was asked at one moment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Snapshot {
    /// When, since the start.
    #[serde(skip)]
    pub(super) at: Duration,
    pub(super) status: StatusView,
    pub(super) counters: BTreeMap<String, u64>,
    pub(super) radar: RadarView,
    /// The flag that covers a source, of those that were asked for.
    pub(super) flags: BTreeMap<IpNetwork, FlagView>,
    /// The source that is looked at, with its course.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<SourceView>,
}

/// What to ask for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// How far the radar looks back.
    pub(super) window: &'static str,
    /// Whose flags.
    pub(super) flags: BTreeSet<IpNetwork>,
    /// Whose course.
    pub(super) detail: Option<IpNetwork>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) last: Option<Snapshot>,
    /// Counters a second, between the last two snapshots.
    pub(super) rates: BTreeMap<String, f64>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) mode: Mode,
    pub(super) paused: bool,
    pub(super) window: usize,
    /// Why there is no newer snapshot.
    pub(super) trouble: Option<String>,
    /// The source under the cursor; it stays there when others move.
    pub(super) cursor: Option<IpNetwork>,
    /// First row that is shown, and how many.
    pub(super) first: usize,
    height: usize,
}

/// What keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The list of sources.
    List,
    /// A filter is typed.
    Typing,
    /// One source.
    Detail(IpNetwork),
    /// The keys are explained.
    Help,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Score,
    Rate,
    Networks,
    Octets,
    Address,
}

/// A key, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Interrupt,
}

/// What follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Show,
    /// Something else is wanted than was asked for last.
    Ask,
    Quit,
}

impl Model {
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            rates: BTreeMap::new(),
            sort: Sort::Rate,
            filter: String::new(),
            mode: Mode::List,
            paused: false,
            window: 1,
            trouble: None,
            cursor: None,
            first: 0,
            height: 0,
        }
    }

    /// Takes an answer in.
    pub(super) fn take(&mut self, snapshot: Snapshot) {
        self.trouble = None;
        if let Some(before) = &self.last {
            let elapsed = snapshot.at.saturating_sub(before.at).as_secs_f64();
            let rate = |(name, now): (&String, &u64)| {
                let then = before.counters.get(name).copied().unwrap_or_default();
                // A controller that has started anew counts from where it was; pins that were removed do not.
                let more = now.saturating_sub(then) as f64;
                (name.clone(), more / elapsed.max(f64::MIN_POSITIVE))
            };
            if elapsed > 0.0 {
                self.rates = snapshot.counters.iter().map(rate).collect();
            }
        }
        self.last = Some(snapshot);
        self.keep_cursor();
    }

    /// There is no answer; what was there stays.
    pub(super) fn fail(&mut self, error: String) {
        self.trouble = Some(error);
    }

    /// So many rows are there for sources.
    pub(super) fn resize(&mut self, height: usize) {
        self.height = height;
        self.keep_cursor();
    }

    pub(super) fn wanted(&self) -> Wanted {
        let detail = match self.mode {
            Mode::Detail(source) => Some(source),
            Mode::List | Mode::Typing | Mode::Help => None,
        };
        let shown = self.shown();
        Wanted {
            window: self.window(),
            flags: shown.iter().map(|it| it.source).chain(detail).collect(),
            detail,
        }
    }

    /// How far the radar looks back.
    pub(super) fn window(&self) -> &'static str {
        WINDOWS.get(self.window).copied().unwrap_or("10m")
    }

    /// Sources that fit the filter, in their order.
    pub(super) fn rows(&self) -> Vec<&SourceView> {
        let sources = self.last.iter().flat_map(|last| &last.radar.sources);
        let mut rows: Vec<&SourceView> = sources.filter(|it| self.fits(it)).collect();
        rows.sort_by(|one, other| self.sort.compare(one, other));
        rows
    }

    /// Those of them that are on the screen.
    pub(super) fn shown(&self) -> Vec<&SourceView> {
        let rows = self.rows().into_iter();
        rows.skip(self.first).take(self.height).collect()
    }

    /// The flag over a source, as far as it is known.
    pub(super) fn flag(&self, source: IpNetwork) -> Option<&FlagView> {
        self.last.as_ref()?.flags.get(&source)
    }

    fn fits(&self, source: &SourceView) -> bool {
        self.filter.is_empty() || source.source.to_string().contains(&self.filter)
    }

    pub(super) fn key(&mut self, key: Key) -> Reaction {
        if key == Key::Interrupt {
            return Reaction::Quit;
        }
        match self.mode.clone() {
            Mode::Typing => self.typed(key),
            Mode::Help => {
                self.mode = Mode::List;
                Reaction::Show
            }
            Mode::Detail(_) => match key {
                Key::Escape | Key::Enter | Key::Backspace => {
                    self.mode = Mode::List;
                    Reaction::Ask
                }
                other => self.command(other),
            },
            Mode::List => match key {
                Key::Up => self.move_by(-1),
                Key::Down => self.move_by(1),
                Key::PageUp => self.move_by(-self.page()),
                Key::PageDown => self.move_by(self.page()),
                Key::Home => self.move_by(isize::MIN),
                Key::End => self.move_by(isize::MAX),
                Key::Enter => match self.cursor {
                    Some(source) => {
                        self.mode = Mode::Detail(source);
                        Reaction::Ask
                    }
                    None => Reaction::Show,
                },
                Key::Char('/') => {
                    self.mode = Mode::Typing;
                    Reaction::Show
                }
                Key::Escape => {
                    self.filter.clear();
                    self.keep_cursor();
                    Reaction::Ask
                }
                other => self.command(other),
            },
        }
    }

    fn command(&mut self, key: Key) -> Reaction {
        let Key::Char(letter) = key else {
            return Reaction::Show;
        };
        match letter {
            'q' => return Reaction::Quit,
            'p' | ' ' => {
                self.paused = !self.paused;
                return if self.paused {
                    Reaction::Show
                } else {
                    Reaction::Ask
                };
            }
            'w' => {
                self.window = (self.window + 1) % WINDOWS.len();
                return Reaction::Ask;
            }
            '?' | 'h' => self.mode = Mode::Help,
            letter => {
                if let Some(sort) = Sort::of(letter) {
                    self.sort = sort;
                    self.first = 0;
                    self.cursor = None;
                    self.keep_cursor();
                    return Reaction::Ask;
                }
            }
        }
        Reaction::Show
    }

    fn typed(&mut self, key: Key) -> Reaction {
        match key {
            Key::Char(letter) if self.filter.len() < FILTER_OCTETS => self.filter.push(letter),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => {
                self.mode = Mode::List;
                self.keep_cursor();
                return Reaction::Ask;
            }
            Key::Escape => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            Key::Char(_)
            | Key::Up
            | Key::Down
            | Key::PageUp
            | Key::PageDown
            | Key::Home
            | Key::End
            | Key::Interrupt => {}
        }
        self.keep_cursor();
        Reaction::Show
    }

    fn page(&self) -> isize {
        isize::try_from(self.height).unwrap_or(isize::MAX)
    }

    fn move_by(&mut self, by: isize) -> Reaction {
        let rows: Vec<IpNetwork> = self.rows().iter().map(|row| row.source).collect();
        let Some(last) = rows.len().checked_sub(1) else {
            return Reaction::Show;
        };
        let at = self.position(&rows);
        let to = at.saturating_add_signed(by).min(last);
        self.cursor = rows.get(to).copied();
        let first = self.first;
        self.keep_cursor();
        // Of other rows the flags are not known yet.
        if self.first == first {
            Reaction::Show
        } else {
            Reaction::Ask
        }
    }

    fn position(&self, rows: &[IpNetwork]) -> usize {
        let at = rows.iter().position(|row| Some(*row) == self.cursor);
        at.unwrap_or_default()
    }

    /// Keeps the cursor on a row, and that row on the screen.
    fn keep_cursor(&mut self) {
        let rows: Vec<IpNetwork> = self.rows().iter().map(|row| row.source).collect();
        let at = self.position(&rows);
        self.cursor = rows.get(at).copied();
        let most = rows.len().saturating_sub(self.height);
        let least = (at + 1).saturating_sub(self.height);
        self.first = self.first.clamp(least, at.max(least)).min(most);
    }
}

impl Sort {
    pub(super) const ALL: [(char, Self, &'static str); 5] = [
        ('s', Self::Score, "score"),
        ('r', Self::Rate, "rate"),
        ('n', Self::Networks, "networks"),
        ('o', Self::Octets, "octets"),
        ('a', Self::Address, "address"),
    ];

    fn of(letter: char) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(key, _, _)| *key == letter);
        found.map(|(_, sort, _)| sort)
    }

    pub(super) fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, sort, _)| *sort == self)
            .map_or("", |(_, _, name)| name)
    }

    /// The largest first, by address where they are equal, so that rows do not change places for nothing.
    fn compare(self, one: &SourceView, other: &SourceView) -> Ordering {
        let by = match self {
            Self::Score => other.score.total_cmp(&one.score),
            Self::Rate => other.figures.syns.cmp(&one.figures.syns),
            Self::Networks => other.figures.destinations.cmp(&one.figures.destinations),
            Self::Octets => other.figures.octets_out.cmp(&one.figures.octets_out),
            Self::Address => Ordering::Equal,
        };
        by.then_with(|| one.source.cmp(&other.source))
    }
}

const WINDOWS: [&str; 3] = ["1m", "10m", "1h"];
/// Longer than any prefix.
const FILTER_OCTETS: usize = 50;
