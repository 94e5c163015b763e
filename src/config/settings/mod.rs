//! The settings that can be made for all hosts, on a builder, and for one host, in a
//! [`HostConfig`](super::host_config::HostConfig). Each is declared once, for both.

mod attempts;
mod connection;
mod host_keys;
mod login;

/// Defines the setters `name(argument)` or `name()` of the first type, and those of the types after
/// it, which pass the argument on to the value in their field. With `@pass`, defines only the
/// latter.
macro_rules! settings {
    ($owner:ident $(, $outer:ident.$field:ident)*; $settings:tt) => {
        settings! { @own $owner $settings }
        $(settings! { @pass $outer.$field $settings })*
    };
    (@own $owner:ident {
        $($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty)?) => |$this:ident| $change:expr;)*
    }) => {
        impl $owner {
            $($(#[$doc])*
            pub fn $name(mut self $(, $argument: $type)?) -> Self {
                let $this = &mut self;
                $change;
                self
            })*
        }
    };
    (@pass $outer:ident.$field:ident {
        $(
            $(#[$doc:meta])*
            $name:ident($($argument:ident: $type:ty)?) $(=> |$this:ident| $change:expr)?;
        )*
    }) => {
        impl $outer {
            $($(#[$doc])*
            pub fn $name(mut self $(, $argument: $type)?) -> Self {
                self.$field = self.$field.$name($($argument)?);
                self
            })*
        }
    };
}

pub(super) use settings;
