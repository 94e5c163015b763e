//! The keyboard-interactive method (RFC 4256): rounds of prompts and answers.

use std::task::Poll;

use super::attempt::Verdict;
use crate::credential::{Challenge, Prompt, Responder, Secret};
use crate::error::AuthProblem;
use crate::link::{Interaction, Link, LinkError, Questions};
use crate::session::target::{Answerer, Target};
use crate::{callback, limits, text};

/// A keyboard-interactive exchange.
#[derive(Debug)]
pub(super) struct Interactive {
    answerer: Answerer,
    /// How many rounds there have been.
    rounds: u32,
    /// Whether an earlier round had prompts. The password answers only the first prompt, because a
    /// second one asks for something else, or means that the password was wrong.
    password_given: bool,
}

impl Interactive {
    pub(super) fn new(answerer: Answerer) -> Self {
        Self { answerer, rounds: 0, password_given: false }
    }

    pub(super) fn has_sent_password(&self) -> bool {
        self.password_given
    }

    pub(super) fn step(&mut self, target: &Target, link: &mut dyn Link) -> Result<Poll<Verdict>, LinkError> {
        loop {
            let questions = match link.interact()? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Interaction::Replies(reply)) => return Ok(Poll::Ready(Verdict::Server(reply))),
                Poll::Ready(Interaction::Asks(questions)) => questions,
            };
            match self.answers(&questions, target) {
                Ok(answers) => link.answer(&answers)?,
                Err(problem) => return Ok(Poll::Ready(Verdict::Dropped(problem))),
            }
        }
    }

    fn answers(&mut self, questions: &Questions, target: &Target) -> Result<Vec<Secret>, AuthProblem> {
        if self.rounds == limits::INTERACTIVE_ROUNDS {
            return Err(AuthProblem::TooManyRounds(self.rounds));
        }
        self.rounds += 1;
        // A round without prompts only shows a message (PAM sends messages this way). The server
        // still expects an empty answer to it.
        let Some(first) = questions.prompts.first() else { return Ok(Vec::new()) };
        match &self.answerer {
            Answerer::Password(password, wanted) => {
                if asks_for_change(questions, self.password_given) {
                    return Err(expired(first));
                }
                let is_single = questions.prompts.len() == 1 && !first.echo && !self.password_given;
                self.password_given = true;
                if !is_single {
                    return Err(unanswered(questions, Some("a responder")));
                }
                if !first.text.to_lowercase().contains(&wanted.to_lowercase()) {
                    return Err(unanswered(questions, Some("password_prompt or a responder")));
                }
                Ok(vec![password.clone()])
            }
            Answerer::Responder(responder) => ask(responder, questions, self.rounds, target),
        }
    }
}

fn ask(
    responder: &Responder,
    questions: &Questions,
    round: u32,
    target: &Target,
) -> Result<Vec<Secret>, AuthProblem> {
    let challenge = Challenge {
        host: &target.host,
        port: target.port,
        user: &target.profile.user_name(),
        round,
        name: &questions.name,
        instruction: &questions.instruction,
        prompts: &questions.prompts,
    };
    let answers =
        callback::call(|| responder.respond(&challenge)).map_err(|_| AuthProblem::ResponderPanicked)?;
    let Some(answers) = answers else {
        return Err(match questions.prompts.first() {
            Some(first) if asks_for_change(questions, round > 1) => expired(first),
            _ => unanswered(questions, None),
        });
    };
    let prompts = questions.prompts.len();
    if answers.len() != prompts {
        return Err(AuthProblem::WrongAnswers { prompt: first(questions), prompts, answers: answers.len() });
    }
    let secret = |(index, answer): (usize, &crate::credential::Answer)| {
        answer.to_secret().ok_or(AuthProblem::NulInAnswer { index })
    };
    answers.iter().enumerate().map(secret).collect()
}

/// Whether the prompts belong to a change of password, such as PAM's "Current password: " and
/// "Retype new password: ". The old password must not answer them. The first prompt of a login may
/// well ask for the current one.
fn asks_for_change(questions: &Questions, is_answered: bool) -> bool {
    questions.prompts.iter().any(|prompt| {
        // In front of its last line, sshd puts messages of PAM.
        let text = prompt.text.trim_end().to_lowercase();
        let line = text.rsplit('\n').next().unwrap_or_default();
        let has = |word: &str| line.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
        let about_old = has("current") || has("old");
        has("password") && (has("new") || has("retype") || is_answered && about_old)
    })
}

fn expired(prompt: &Prompt) -> AuthProblem {
    let prompt = text::sanitise_bounded(prompt.text.trim_end(), limits::PEER_TEXT).into_owned();
    AuthProblem::PasswordExpired { prompt: Some(prompt) }
}

fn unanswered(questions: &Questions, needs: Option<&'static str>) -> AuthProblem {
    AuthProblem::Unanswered { prompt: first(questions), prompts: questions.prompts.len(), needs }
}

/// The first prompt, truncated to the length limit for a peer's text in errors.
fn first(questions: &Questions) -> String {
    let text = questions.prompts.first().map_or("", |prompt| prompt.text.as_str());
    text::prefix(text, limits::PEER_TEXT).to_owned()
}
