//! One host's values for a command's text.

/// One host's values for the placeholders of a command: in order, or by name.
///
/// A `HostArgs` is made from a single value (`"web1"`, `8080`), from several values (a tuple of up
/// to eight, an array, or a `Vec`), or by [`named`](Self::named). All values of an array or a `Vec`
/// have one type, so to mix strings and numbers there, convert each value to a [`HostArg`].
///
/// ```
/// use sshoal::Command;
/// use sshoal::config::{HostArg, HostArgs};
///
/// let entries = vec![
///     HostArgs::from("one value"),
///     HostArgs::from(("two", 2)),
///     HostArgs::from(vec![HostArg::from("two"), HostArg::from(2)]),
///     HostArgs::named([("host", HostArg::from("web1")), ("port", HostArg::from(8080))]),
/// ];
/// let command = Command::new("…").host_args(entries);
/// # let _ = command;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostArgs(Values);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Positional(Vec<HostArg>),
    Named(Vec<(String, HostArg)>),
}

/// A value for a placeholder of a command: a string, an integer, a floating-point number, a `bool`
/// or a `char`.
///
/// `%s` inserts the text that [`ToString`] gives: `1.5`, `1` for `1.0`, `true`. Python writes `1.0`
/// and `True`. `%d` accepts integers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostArg {
    pub(super) text: String,
    pub(super) is_integer: bool,
}

impl HostArgs {
    /// Values for `%(name)s` and `%(name)d`. Unused values are ignored. If several values have the
    /// same name, the last one counts.
    ///
    /// ```
    /// use sshoal::Command;
    /// use sshoal::config::HostArgs;
    ///
    /// let ports = [("web1", 80), ("web2", 8080)];
    /// let command = Command::new("curl -s localhost:%(port)d")
    ///     .host_args(ports.map(|(_, port)| HostArgs::named([("port", port)])));
    /// # let _ = command;
    /// ```
    pub fn named(values: impl IntoIterator<Item = (impl Into<String>, impl Into<HostArg>)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self(Values::Named(values))
    }

    /// The values for `%s` and `%d`; empty if the values have names.
    pub(super) fn positional(&self) -> &[HostArg] {
        match &self.0 {
            Values::Positional(values) => values,
            Values::Named(_) => &[],
        }
    }

    pub(super) fn get(&self, wanted: &[u8]) -> Option<&HostArg> {
        match &self.0 {
            Values::Positional(_) => None,
            Values::Named(values) => {
                let (_, value) = values.iter().rev().find(|(name, _)| name.as_bytes() == wanted)?;
                Some(value)
            }
        }
    }
}

impl From<String> for HostArg {
    fn from(text: String) -> Self {
        Self { text, is_integer: false }
    }
}

impl From<&str> for HostArg {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for HostArg {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

macro_rules! from_integers {
    ($($integer:ty)+) => {$(
        impl From<$integer> for HostArg {
            fn from(number: $integer) -> Self {
                Self { text: number.to_string(), is_integer: true }
            }
        }
    )+};
}

from_integers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

macro_rules! from_others {
    ($($other:ty)+) => {$(
        impl From<$other> for HostArg {
            fn from(value: $other) -> Self {
                value.to_string().into()
            }
        }
    )+};
}

from_others!(f32 f64 bool char);

macro_rules! from_single_values {
    ($($value:ty)+) => {$(
        impl From<$value> for HostArgs {
            fn from(value: $value) -> Self {
                Self::from([value])
            }
        }
    )+};
}

from_single_values!(HostArg String &str &String i8 i16 i32 i64 isize u8 u16 u32 u64 usize f32 f64 bool char);

impl<T: Into<HostArg>> From<Vec<T>> for HostArgs {
    fn from(values: Vec<T>) -> Self {
        Self(Values::Positional(values.into_iter().map(Into::into).collect()))
    }
}

impl<T: Into<HostArg>, const N: usize> From<[T; N]> for HostArgs {
    fn from(values: [T; N]) -> Self {
        Self(Values::Positional(values.into_iter().map(Into::into).collect()))
    }
}

macro_rules! from_tuples {
    ($(($($value:ident)+))+) => {$(
        impl<$($value: Into<HostArg>),+> From<($($value,)+)> for HostArgs {
            #[allow(non_snake_case, reason = "a variable for each type, by its name")]
            fn from(($($value,)+): ($($value,)+)) -> Self {
                Self(Values::Positional(vec![$($value.into()),+]))
            }
        }
    )+};
}

from_tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
}
