//! Which credentials a host accepts.

use russh::keys::PublicKey;
use russh::{MethodKind, MethodSet};

use crate::fleet::Profile;
use crate::setting::AuthPolicy;

/// The offered methods; `key_done` after the first half of [`AuthPolicy::KeyThenPassword`].
pub(crate) fn methods(policy: AuthPolicy, key_done: bool) -> MethodSet {
    use MethodKind::{KeyboardInteractive, Password, PublicKey};
    let kinds: &[MethodKind] = match policy {
        AuthPolicy::Any => &[PublicKey, Password, KeyboardInteractive],
        AuthPolicy::Key | AuthPolicy::None => &[PublicKey],
        AuthPolicy::Password => &[Password],
        AuthPolicy::Keyboard => &[KeyboardInteractive],
        AuthPolicy::KeyThenPassword if key_done => &[Password],
        AuthPolicy::KeyThenPassword => &[PublicKey],
        AuthPolicy::Refuse => &[PublicKey, Password],
    };
    kinds.into()
}

/// Whether the host accepts this key, with or without a signature; `key_done` as for [`methods`].
pub(crate) fn takes_key(profile: &Profile, key_done: bool, key: &PublicKey) -> bool {
    let policy = match profile.auth {
        AuthPolicy::Any | AuthPolicy::Key => true,
        AuthPolicy::KeyThenPassword => !key_done,
        AuthPolicy::Password | AuthPolicy::Keyboard | AuthPolicy::None | AuthPolicy::Refuse => false,
    };
    policy && key.key_data() == profile.user_key.key_data()
}

/// Whether the host accepts this password by the method `password`; `key_done` as for [`methods`].
pub(crate) fn takes_password(profile: &Profile, key_done: bool, password: &[u8]) -> bool {
    let policy = match profile.auth {
        AuthPolicy::Any | AuthPolicy::Password => true,
        AuthPolicy::KeyThenPassword => key_done,
        AuthPolicy::Key | AuthPolicy::Keyboard | AuthPolicy::None | AuthPolicy::Refuse => false,
    };
    policy && password == profile.password.as_bytes()
}

/// Whether the host asks for its password by keyboard-interactive.
pub(crate) fn takes_keyboard(profile: &Profile) -> bool {
    matches!(profile.auth, AuthPolicy::Any | AuthPolicy::Keyboard)
}
