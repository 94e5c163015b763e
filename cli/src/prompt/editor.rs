//! Lines that a user types, with editing and a history.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustyline::config::Behavior;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor as LineEditor};
use sshoal::fleet::FleetWaker;

use super::completion::Completion;
use super::terminal;
use crate::history;

/// How many lines the history has.
const REMEMBERED: usize = 1000;

/// A line editor on the terminal. A thread waits for keys, so that hosts are attended meanwhile.
pub struct Editor {
    questions: Sender<Question>,
    pub typed: Receiver<Typed>,
}

/// A prompt, and the hosts that can be named behind it.
struct Question {
    prompt: String,
    hosts: Vec<String>,
}

/// What a user did at the prompt.
#[derive(Debug)]
pub enum Typed {
    Line(String),
    /// ^C.
    Interrupt,
    /// ^D, or the terminal cannot be used.
    End(Option<String>),
}

impl Editor {
    /// `waker` is woken when something was typed.
    pub fn start(waker: FleetWaker, mut completion: Completion) -> Self {
        let (questions, asked) = channel::<Question>();
        let (answers, typed) = channel();
        thread::spawn(move || {
            terminal::take_resizes();
            let file = history::of_prompts().inspect_err(|error| log::warn!("no history: {error}")).ok();
            for Question { prompt, hosts } in asked {
                completion.hosts = hosts;
                let answer = match read(&prompt, &completion, file.as_deref()) {
                    Ok(line) => Typed::Line(line),
                    Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Typed::Interrupt,
                    Err(ReadlineError::Eof) => Typed::End(None),
                    Err(error) => Typed::End(Some(error.to_string())),
                };
                if answers.send(answer).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        });
        Self { questions, typed }
    }

    /// Asks for a line, which arrives at `typed`. TAB completes these hosts, and others.
    pub fn ask(&self, prompt: String, hosts: Vec<String>) {
        // If the thread has ended, that is known at `typed`.
        let _ = self.questions.send(Question { prompt, hosts });
    }
}

/// Reads a line. Each has an editor of its own, because an editor handles SIGINT for as long as it
/// lives, and because it then knows what was typed at other prompts.
fn read(prompt: &str, completion: &Completion, history: Option<&Path>) -> rustyline::Result<String> {
    let config = Config::builder().max_history_size(REMEMBERED)?.history_ignore_space(true);
    // As in bash: TAB completes what is certain, and a second one shows what there is.
    let config = config.completion_type(CompletionType::List);
    // Standard output may be a pipe.
    let config = config.auto_add_history(true).behavior(Behavior::PreferTerm).build();
    let lines = FileHistory::with_config(&config);
    let mut editor = LineEditor::<Completion, _>::with_history(config, lines)?;
    editor.set_helper(Some(completion.clone()));
    if let Some(file) = history {
        // There is none before the first line.
        let _ = editor.load_history(file);
    }
    let line = editor.readline(prompt)?;
    if let Some(Err(error)) = history.map(|file| editor.append_history(file)) {
        log::warn!("the line is not in the history: {error}");
    }
    Ok(line)
}
