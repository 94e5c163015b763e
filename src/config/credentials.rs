//! Passwords and keys, and the credentials that are offered to servers.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use zeroize::Zeroizing;

use super::agent_key::AgentKey;
use super::certificates::{Certificates, FoundKey, GivenCertificates};
use super::file_lists::{FileLists, Identities};
use super::key_file::KeyFile;
use super::known_keys::KnownKeys;
use super::layers::Given;
use super::owner::Owner;
use crate::credential::{KeyText, Opener, Responder, Secret};
use crate::error::{AuthMethod, AuthProblem, ConfigProblem, Error, KeyProblem};
use crate::link::{Gssapi, PrivateKey};
use crate::session::{AgentOffer, Answerer, AuthPlan, Offer, PreferredKey};

/// Identity files tried when `identity_auth` is on, in this order (parallel-ssh:
/// `BaseSSHClient.IDENTITIES`).
const IDENTITIES: [&str; 5] = ["id_rsa", "id_dsa", "identity", "id_ecdsa", "id_ed25519"];

/// A password, passphrase or key. It is overwritten when dropped, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hidden(Zeroizing<Vec<u8>>);

impl Hidden {
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into().into())
    }

    /// Copies the text into a [`Secret`]. `None` if the text is not UTF-8 or contains a NUL byte.
    fn to_secret(&self) -> Option<Secret> {
        Secret::copy(str::from_utf8(&self.0).ok()?)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn has_nul(&self) -> bool {
        self.0.contains(&0)
    }
}

impl Hash for Hidden {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_slice().hash(state);
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// The path that errors show for a key or certificate that was given as text.
pub(super) const BYTES: &str = "<bytes>";

/// Where a private key or a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum KeySource {
    File(PathBuf),
    Bytes(Hidden),
}

/// The socket of an ssh-agent. `None` means the one that `SSH_AUTH_SOCK` names.
pub(super) type AgentSocket<'a> = Option<Given<'a, &'a Path>>;

/// How to log in to a host. Equal values lead to equal plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Login<'a> {
    pub key: Option<(Given<'a, &'a KeySource>, Given<'a, Opener<'a>>)>,
    pub certificate: Option<Given<'a, &'a KeySource>>,
    pub certificate_files: FileLists<'a>,
    /// `None` means all, in the usual order.
    pub methods: Option<&'a [AuthMethod]>,
    /// `None` if identity files are switched off.
    pub identities: Option<Given<'a, Identities<'a>>>,
    /// `None` if no agent is used.
    pub agent: Option<AgentSocket<'a>>,
    /// Whether only keys that the settings name are offered, also by the agent.
    pub identities_only: bool,
    pub password: Option<Given<'a, &'a Hidden>>,
    pub interactive: Option<Given<'a, Interactive<'a>>>,
}

impl Login<'_> {
    /// The same login with another limit on the work of decrypting keys.
    pub fn with_rounds_max(mut self, rounds_max: u32) -> Self {
        let openers = self.key.as_mut().map(|(_, opener)| &mut opener.value);
        let identities = self.identities.as_mut().map(|identities| &mut identities.value.opener);
        openers.into_iter().chain(identities).for_each(|opener| opener.rounds_max = rounds_max);
        self
    }
}

/// Who answers the prompts of keyboard-interactive authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Interactive<'a> {
    /// The password of the same login, if the prompt contains this text.
    Password(&'a str),
    Responder(&'a Responder),
}

fn answerer(interactive: Given<'_, Interactive<'_>>, password: Option<Secret>) -> Result<Answerer, Error> {
    match (interactive.value, password) {
        (Interactive::Responder(responder), _) => Ok(Answerer::Responder(responder.clone())),
        (Interactive::Password(prompt), Some(password)) => Ok(Answerer::Password(password, prompt.into())),
        (Interactive::Password(_), None) => {
            let (setting, needs) = ("keyboard_interactive", "a password or a responder");
            Err(ConfigProblem::Missing { setting, needs }.of(interactive.origin()))
        }
    }
}

/// The keys that files hold.
#[derive(Debug, Clone, Default)]
struct FoundKeys {
    keys: Vec<FoundKey>,
    /// The keys that only the agent can sign with.
    agents: Vec<AgentKey>,
    /// The files that cannot be used. They are reported if the login fails.
    skipped: Vec<AuthProblem>,
}

impl FoundKeys {
    fn blobs(&self) -> Vec<&[u8]> {
        let keys = self.keys.iter().map(|found| found.key.blob());
        keys.chain(self.agents.iter().map(|key| &*key.blob)).collect()
    }
}

/// Makes the plans of all hosts. Each key is parsed once per passphrase, and each password is
/// stored once. Keys that hosts use already are read again, but not decrypted, which is slow.
pub(super) struct Credentials<'a> {
    owner: &'a Owner,
    known_keys: &'a mut KnownKeys,
    keys: HashMap<(KeySource, Opener<'a>), Arc<PrivateKey>>,
    /// The keys of identity files, by the files and whether an agent is used.
    identities: HashMap<(Identities<'a>, bool), FoundKeys>,
    certificates: Certificates<'a>,
    passwords: HashMap<&'a Hidden, Secret>,
}

impl<'a> Credentials<'a> {
    pub fn new(owner: &'a Owner, known_keys: &'a mut KnownKeys) -> Self {
        Self {
            owner,
            known_keys,
            keys: HashMap::new(),
            identities: HashMap::new(),
            certificates: Certificates::default(),
            passwords: HashMap::new(),
        }
    }

    /// Returns the credentials to offer, in order, and why others were skipped. GSSAPI comes first,
    /// as in parallel-ssh.
    pub fn plan(
        &mut self,
        gssapi: Option<Gssapi>,
        login: Login<'a>,
    ) -> Result<(AuthPlan, Vec<AuthProblem>), Error> {
        let gssapi = gssapi.map(|gssapi| Offer::Gssapi(Arc::new(gssapi)));
        let (keys, skipped) = self.public_keys(login)?;
        let password = login.password.map(|password| self.password(password)).transpose()?;
        let interactive =
            login.interactive.map(|interactive| answerer(interactive, password.clone())).transpose()?;
        let typed = password.map(Offer::Password).into_iter().chain(interactive.map(Offer::Interactive));
        let mut plan: AuthPlan = gssapi.into_iter().chain(keys).chain(typed).collect();
        if let Some(methods) = login.methods {
            let position = |offer: &Offer| methods.iter().position(|method| *method == offer.method());
            plan.retain(|offer| position(offer).is_some());
            plan.sort_by_key(position);
        }
        // With no credential or only the agent, `none` is tried last, in case the agent has no key
        // and the host needs none. After a key of the agent, a server no longer accepts `none`.
        if plan.iter().all(|offer| matches!(offer, Offer::Agent(_))) {
            plan.push(Offer::None);
        }
        Ok((plan, skipped))
    }

    fn public_keys(&mut self, login: Login<'a>) -> Result<(AuthPlan, Vec<AuthProblem>), Error> {
        let has_agent = match login.agent {
            Some(socket) => self.agent(socket)?.is_some(),
            None => false,
        };
        let named = login.key.map(|(given, opener)| self.named_key(given, opener, has_agent)).transpose()?;
        let identities = login.identities.map(|wanted| self.identities(wanted, has_agent)).transpose()?;
        let mut identities = identities.unwrap_or_default();
        let certificate = match login.certificate {
            Some(given) => {
                let keys = named.as_ref().unwrap_or(&identities).blobs();
                Some((self.certificates.given(given, self.owner, &keys)?, given.origin))
            }
            None => None,
        };
        let (named, certificate) = (named.unwrap_or_default(), certificate.as_ref());
        let others = self.certificates.others(login.certificate_files, self.owner, &mut identities.skipped);
        let given = GivenCertificates { named: certificate, others: &others };
        let mut plan = AuthPlan::new();
        for named in &named.keys {
            let forms = self.certificates.forms(named, given, &mut identities.skipped)?;
            plan.extend(forms.into_iter().map(Offer::Sign));
        }
        let mut asked = AuthPlan::new();
        for identity in &identities.keys {
            for key in self.certificates.forms(identity, given, &mut identities.skipped)? {
                let is_same = |offer: &Offer| offer.key().is_some_and(|known| known.blob() == key.blob());
                if !plan.iter().chain(&asked).any(is_same) {
                    asked.push(Offer::AskThenSign(key));
                }
            }
        }
        if has_agent {
            let in_agent = named.agents.iter().chain(&identities.agents);
            let found = named.keys.iter().chain(&identities.keys);
            let certificates = self.certificates.of_agent(in_agent, found, given);
            let in_files =
                asked.iter().filter_map(Offer::key).map(|key| PreferredKey::new(key.blob().to_vec()));
            let named = self.only_in_agent(&named.agents, true, given);
            let preferred = named.chain(in_files).chain(self.only_in_agent(&identities.agents, false, given));
            let (preferred, only) = (preferred.collect(), login.identities_only);
            let agent = AgentOffer { preferred, certificates, only };
            if !(agent.only && agent.preferred.is_empty()) {
                plan.push(Offer::Agent(Arc::new(agent)));
            }
        }
        plan.extend(asked);
        if let [Offer::AskThenSign(key)] = plan.as_slice() {
            plan = vec![Offer::Sign(key.clone())];
        }
        Ok((plan, identities.skipped))
    }

    /// The keys that only the agent can sign with, in all their forms.
    fn only_in_agent(
        &self,
        keys: &[AgentKey],
        is_first: bool,
        given: GivenCertificates<'_>,
    ) -> impl Iterator<Item = PreferredKey> {
        keys.iter().flat_map(move |key| {
            let missing = |blob: &[u8]| key.missing.clone().filter(|_| *blob == key.blob);
            let forms = self.certificates.agent_forms(key, given).into_iter();
            forms.map(move |blob| PreferredKey { missing: missing(&blob), blob, is_first })
        })
    }

    /// The socket of the agent, if there is an agent.
    pub fn agent(&self, socket: AgentSocket<'_>) -> Result<Option<Arc<Path>>, Error> {
        match socket {
            Some(path) => Ok(Some(self.expand(path)?.into())),
            None => Ok(self.owner.agent.as_deref().map(Into::into)),
        }
    }

    fn expand(&self, path: Given<'_, &Path>) -> Result<PathBuf, Error> {
        self.owner.expand(path.value).map_err(|problem| problem.of(path.origin()))
    }

    fn password(&mut self, given: Given<'a, &'a Hidden>) -> Result<Secret, Error> {
        if let Some(known) = self.passwords.get(given.value) {
            return Ok(known.clone());
        }
        let secret = given.value.to_secret().ok_or_else(|| {
            ConfigProblem::Unusable { setting: "password", problem: "contains a NUL byte" }.of(given.origin())
        })?;
        self.passwords.insert(given.value, secret.clone());
        Ok(secret)
    }

    /// Returns the key that the settings name. With an agent, it may be a key that only the agent
    /// can sign with.
    fn named_key(
        &mut self,
        given: Given<'a, &'a KeySource>,
        opener: Given<'a, Opener<'a>>,
        has_agent: bool,
    ) -> Result<FoundKeys, Error> {
        let (path, source) = match given.value {
            KeySource::File(path) => {
                let path = self.expand(given.map(|_| path.as_path()))?;
                (Some(path.clone()), KeySource::File(path))
            }
            KeySource::Bytes(_) => (None, given.value.clone()),
        };
        match self.key(source.clone(), opener.value) {
            Ok(key) => Ok(FoundKeys { keys: vec![FoundKey { key, path }], ..FoundKeys::default() }),
            Err(problem) => {
                let may_be_in_agent = matches!(
                    problem,
                    KeyProblem::PublicKey | KeyProblem::PassphraseMissing | KeyProblem::SecurityKey
                );
                if has_agent
                    && may_be_in_agent
                    && let Some(key) = AgentKey::find(&source, &problem)
                {
                    return Ok(FoundKeys { agents: vec![key], ..FoundKeys::default() });
                }
                let path = path.unwrap_or_else(|| PathBuf::from(BYTES));
                // If the passphrase or the limit on rounds is the problem, the error names the
                // origin of that setting, not the key's.
                let is_locked =
                    matches!(problem, KeyProblem::PassphraseWrong | KeyProblem::TooManyRounds { .. });
                let origin = if is_locked { opener.origin() } else { given.origin() };
                Err(Error::KeyFile { origin, path, problem })
            }
        }
    }

    /// Returns the keys of the identity files that can be used. With an agent, these include keys
    /// that only the agent can sign with.
    fn identities(&mut self, given: Given<'a, Identities<'a>>, has_agent: bool) -> Result<FoundKeys, Error> {
        let wanted = (given.value, has_agent);
        if let Some(known) = self.identities.get(&wanted) {
            return Ok(known.clone());
        }
        let Identities { files, opener } = given.value;
        let paths: Vec<(PathBuf, bool)> = match &self.owner.home {
            Some(home) if files == FileLists::default() => {
                IDENTITIES.iter().map(|name| (home.join(".ssh").join(name), false)).collect()
            }
            _ => {
                let expand = |(file, is_named)| Ok((self.expand(given.map(|_| file))?, is_named));
                files.all().map(expand).collect::<Result<_, Error>>()?
            }
        };
        let mut found = FoundKeys::default();
        for (path, is_named) in paths {
            let problem = match self.key(KeySource::File(path.clone()), opener) {
                Ok(key) => {
                    found.keys.push(FoundKey { key, path: Some(path) });
                    continue;
                }
                // A file that code names must not be accessible to other users.
                Err(problem @ KeyProblem::Exposed { .. }) if is_named => {
                    return Err(Error::KeyFile { origin: given.origin(), path, problem });
                }
                Err(problem) => problem,
            };
            let is_missing =
                matches!(&problem, KeyProblem::Unreadable(e) if e.kind() == io::ErrorKind::NotFound);
            match AgentKey::find(&KeySource::File(path.clone()), &problem) {
                Some(key) if has_agent => found.agents.push(key),
                _ if is_missing => {}
                _ => {
                    log::warn!("identity file {} {problem}", path.display());
                    found.skipped.push(AuthProblem::KeySkipped { path, reason: problem.to_string() });
                }
            }
        }
        self.identities.insert(wanted, found.clone());
        Ok(found)
    }

    fn key(&mut self, source: KeySource, opener: Opener<'a>) -> Result<Arc<PrivateKey>, KeyProblem> {
        let wanted = (source, opener);
        if let Some(known) = self.keys.get(&wanted) {
            return Ok(known.clone());
        }
        let key = match &wanted.0 {
            KeySource::File(path) => {
                let file = KeyFile::read(path)?;
                // The content is checked before the permissions, because an error about a file that
                // holds no private key should say so.
                let text = KeyText::find(&file.bytes)?;
                file.check_permissions(path)?;
                self.known_keys.open(&file.bytes, &text, opener)?
            }
            KeySource::Bytes(bytes) => {
                let text = KeyText::find(bytes.as_bytes())?;
                self.known_keys.open(bytes.as_bytes(), &text, opener)?
            }
        };
        self.keys.insert(wanted, key.clone());
        Ok(key)
    }
}
