//! Sets of actions, as bits. The bits mean something within one process only: they are never kept.

use headworks_types::Action;

/// A set of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Actions(u16);

impl Actions {
    /// Every action.
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// True if `action` is in it.
    pub(crate) fn include(self, action: Action) -> bool {
        self.intersect(Self::from(action))
    }

    /// True if there is anything in both.
    pub(crate) fn intersect(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one only.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True if nothing is in it.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions in it.
    pub(crate) fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL
            .into_iter()
            .filter(move |&action| self.include(action))
    }

    /// As SQL takes it.
    pub(crate) fn bits(self) -> i32 {
        self.0.into()
    }

    /// As SQL gives it back.
    pub(crate) fn from_bits(bits: i32) -> Self {
        Self(u16::try_from(bits).unwrap_or(0))
    }
}

impl From<Action> for Actions {
    fn from(action: Action) -> Self {
        Self(1 << action as u8)
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        let mut set = Self::default();
        for action in actions {
            set |= action.into();
        }
        set
    }
}

/// Names that this version does not know allow nothing.
impl<'a> FromIterator<&'a str> for Actions {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        names.into_iter().filter_map(Action::from_name).collect()
    }
}

impl std::ops::BitOrAssign for Actions {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl std::ops::BitOr for Actions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
