//! User authentication.

use std::ffi::c_int;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use libssh_rs::sys::{self, ssh_auth_e_SSH_AUTH_AGAIN as AGAIN, ssh_auth_e_SSH_AUTH_DENIED as DENIED};

use super::SshSession;
use crate::agent::wire::Identity;
use crate::credential::{Secret, certificate};
use crate::error::AuthMethod;
use crate::link::libssh::OK;
use crate::link::libssh::agent_script::AgentScript;
use crate::link::libssh::call_scope::CallScope;
use crate::link::libssh::options::configure_gssapi;
use crate::link::libssh::raw_session::{RawSession, SessionCall};
use crate::link::{AuthReply, Credential, Gssapi, Interaction, LinkError, LinkErrorKind, Questions};

/// The beginnings of libssh's error texts for a keyboard-interactive request that it cannot read.
const BAD_QUESTIONS: [&str; 2] = ["Invalid USERAUTH_INFO_REQUEST", "Short INFO_REQUEST"];

/// The beginning of libssh's error text for a request with more than 256 prompts. The number of
/// prompts follows.
const TOO_MANY_QUESTIONS: &str = "Too much prompts requested by the server: ";

/// Whether libssh was built with GSSAPI. This is determined once per process.
///
/// To find out, this tries a login on an unconnected session. Without GSSAPI, libssh refuses the
/// login before it looks at the session. With GSSAPI, libssh waits for a connection. Neither case
/// uses a ticket or the network.
pub(crate) fn has_gssapi() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let Ok(mut raw) = RawSession::new(c"") else { return false };
        let _scope = CallScope::enter();
        raw.call(SessionCall::AuthGssapi) != DENIED
    })
}

/// What a round of questions says besides its questions. sshd puts PAM's messages in front of the
/// next prompt, or sends them in a round without prompts.
fn message(questions: &Questions) -> String {
    let Questions { name, instruction, prompts } = questions;
    let before = prompts.first().and_then(|prompt| prompt.text.trim_end().rsplit_once('\n'));
    let parts = [&**name, instruction, before.map_or("", |(lines, _)| lines)].map(str::trim_end);
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

impl SshSession {
    /// Requests the authentication service. This also makes libssh read the server's extensions, on
    /// which the choice of an RSA signature algorithm depends. Without this request, Debian's
    /// libssh 0.10.6 would choose the algorithm for a login before it has read the extensions.
    pub(crate) fn request_auth(&mut self) -> Result<Poll<()>, LinkError> {
        self.step(SessionCall::RequestAuth)
    }

    pub(crate) fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError> {
        self.sent_password = matches!(credential, Credential::Password(_));
        let _scope = self.listen();
        let rc = self.raw.call(match credential {
            Credential::None => SessionCall::AuthNone,
            Credential::Probe(key) => SessionCall::AuthProbe(key),
            Credential::Key(key) => SessionCall::AuthKey(key),
            Credential::Password(secret) => SessionCall::AuthPassword(secret),
            Credential::Agent { identity, signature } => {
                return self.authenticate_by_agent(identity, signature.as_deref());
            }
            Credential::Gssapi(gssapi) => return self.authenticate_by_gssapi(gssapi),
        });
        self.auth_reply(rc)
    }

    /// Begins or continues a GSSAPI login. This call, and each pump before the reply arrives, may
    /// block for as long as the KDC does not answer. No other call blocks.
    fn authenticate_by_gssapi(&mut self, gssapi: &Gssapi) -> Result<Poll<AuthReply>, LinkError> {
        let begins = !self.in_gssapi;
        if begins {
            configure_gssapi(&mut self.raw, gssapi)?;
            self.gssapi_problem = None;
        }
        let _scope = CallScope::at(sys::SSH_LOG_DEBUG);
        let rc = self.raw.call(SessionCall::AuthGssapi);
        self.note_log();
        // If the connection is still up, an error means that this end has given up, not that the
        // server has refused. A refusal of the first call means the same, because nothing has been
        // sent yet. The server drops the unfinished login at the next request.
        let reply = match rc {
            sys::ssh_auth_e_SSH_AUTH_ERROR => {
                self.check_fatal()?;
                Poll::Ready(AuthReply::Unable(self.unable()))
            }
            DENIED if begins => Poll::Ready(AuthReply::Unable(self.unable())),
            _ => self.auth_reply(rc)?,
        };
        self.in_gssapi = reply.is_pending();
        Ok(reply)
    }

    /// Why this end gave up on GSSAPI. The reason comes from libssh's log, because the session's
    /// error text belongs to an earlier call. libssh 0.10.6 logs nothing if there are no
    /// credentials at all.
    fn unable(&mut self) -> String {
        self.gssapi_problem.take().unwrap_or_else(|| "there are no usable credentials (see klist)".to_owned())
    }

    fn auth_reply(&mut self, rc: c_int) -> Result<Poll<AuthReply>, LinkError> {
        self.note_log();
        if rc != AGAIN {
            // The server's next banner would replace this one.
            self.hear();
        }
        // Success is checked first, because a server may close the connection right after it, and
        // then the session is already in error.
        match rc {
            sys::ssh_auth_e_SSH_AUTH_SUCCESS => {
                self.is_logged_in = true;
                return Ok(Poll::Ready(AuthReply::Accepted));
            }
            sys::ssh_auth_e_SSH_AUTH_PARTIAL => return Ok(Poll::Ready(AuthReply::Partial)),
            _ => self.check_fatal()?,
        }
        match rc {
            // libssh itself refuses some keys, for instance a short RSA key. The server was not
            // asked about such a key.
            DENIED if !self.raw.error_text().starts_with("Access denied") => {
                Ok(Poll::Ready(AuthReply::Unable(self.raw.error_text())))
            }
            DENIED => Ok(Poll::Ready(AuthReply::Denied)),
            AGAIN => Ok(Poll::Pending),
            _ => Err(self.fatal()),
        }
    }

    pub(crate) fn interact(&mut self) -> Result<Poll<Interaction>, LinkError> {
        self.sent_password = false;
        let _scope = CallScope::enter();
        let rc = self.raw.call(SessionCall::AuthInteractive);
        if rc == sys::ssh_auth_e_SSH_AUTH_INFO {
            self.note_log();
            self.hear();
            let questions = self.raw.questions();
            self.said.add(message(&questions).as_bytes());
            return Ok(Poll::Ready(Interaction::Asks(questions)));
        }
        let reply = self.auth_reply(rc)?.map(Interaction::Replies);
        // If libssh cannot read a request, it only sets its error text and waits for the next
        // request forever.
        let text = self.raw.error_text();
        if reply.is_pending()
            && let Some(count) = text.strip_prefix(TOO_MANY_QUESTIONS)
        {
            let count = count.split(' ').next().unwrap_or_default();
            let text =
                format!("the server asked {count} questions at once, more than the 256 that libssh reads");
            return Err(LinkError::new(LinkErrorKind::Limit, text));
        }
        if reply.is_pending() && BAD_QUESTIONS.iter().any(|bad| text.starts_with(bad)) {
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        Ok(reply)
    }

    /// Keeps the server's banner, if it is a new one.
    fn hear(&mut self) {
        if let Some(banner) = self.raw.issue_banner() {
            self.said.add(&banner);
        }
    }

    /// Takes what the server has said to the user so far.
    pub(crate) fn banner(&mut self) -> Option<Arc<str>> {
        self.hear();
        self.said.take()
    }

    /// Passes the answers to libssh, which overwrites its copies once it has sent them.
    pub(crate) fn answer(&mut self, answers: &[Secret]) -> Result<(), LinkError> {
        for (index, answer) in (0..).zip(answers) {
            if self.raw.call(SessionCall::Answer(index, answer)) != OK {
                return Err(self.raw.other_error());
            }
        }
        Ok(())
    }

    /// Makes libssh log in with an agent's key. libssh believes that it talks to an agent (see
    /// [`AgentScript`]). Each call uses a new socket, so that no socket stays open between calls,
    /// while the login waits for the server or the agent.
    fn authenticate_by_agent(
        &mut self,
        identity: &Identity,
        signature: Option<&[u8]>,
    ) -> Result<Poll<AuthReply>, LinkError> {
        if !certificate::is_well_formed(identity.blob()) {
            let text = "the agent's key is damaged, or of an unknown type".to_owned();
            return Ok(Poll::Ready(AuthReply::Unable(text)));
        }
        let packets_begun = self.agent_begun.unwrap_or_else(|| self.packets_read());
        let script = AgentScript::new(identity, self.agent_begun.is_some(), signature)
            .map_err(|e| LinkError::new(LinkErrorKind::Limit, format!("no socket to sign over: {e}")))?;
        let rc = self.raw.call(SessionCall::AuthAgent(&script));
        self.agent_begun = (rc == AGAIN).then_some(packets_begun);
        match (rc, script.sign_request()) {
            // The first pass ends with a refusal from the script, which libssh reports as an error.
            (sys::ssh_auth_e_SSH_AUTH_ERROR, Some(request)) if signature.is_none() => {
                self.check_fatal()?;
                let damaged = || LinkError::new(LinkErrorKind::Other, "libssh's request to sign is damaged");
                Ok(Poll::Ready(AuthReply::ToSign(identity.addressed(request).ok_or_else(damaged)?)))
            }
            (DENIED, _) if self.packets_read() == packets_begun => {
                Ok(Poll::Ready(AuthReply::Unable(self.raw.error_text())))
            }
            _ => self.auth_reply(rc),
        }
    }

    pub(crate) fn offered(&mut self) -> Vec<AuthMethod> {
        const NAMES: [(u32, AuthMethod); 5] = [
            (sys::SSH_AUTH_METHOD_PUBLICKEY, AuthMethod::PublicKey),
            (sys::SSH_AUTH_METHOD_PASSWORD, AuthMethod::Password),
            (sys::SSH_AUTH_METHOD_INTERACTIVE, AuthMethod::KeyboardInteractive),
            (sys::SSH_AUTH_METHOD_HOSTBASED, AuthMethod::HostBased),
            (sys::SSH_AUTH_METHOD_GSSAPI_MIC, AuthMethod::Gssapi),
        ];
        let bits = self.raw.call(SessionCall::OfferedMethods) as u32;
        NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, method)| *method).collect()
    }
}
