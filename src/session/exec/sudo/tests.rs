use proptest::prelude::*;

use super::*;

/// A reference implementation that looks at the whole output at once. Returns the remaining output
/// and the final state.
fn reference(login: &SudoLogin, on_terminal: bool, output: &[u8]) -> (Vec<u8>, SudoState) {
    let marks = [SudoMark::Prompt, SudoMark::Start].map(|mark| (mark, login.text(mark).into_bytes()));
    let mut state = SudoState::Silent;
    let mut in_prompt_line = false;
    let mut left = Vec::new();
    let mut rest = output;
    while let [first, behind @ ..] = rest {
        let found = marks.iter().find_map(|(mark, text)| Some((*mark, rest.strip_prefix(&text[..])?)));
        let Some((mark, behind_mark)) = found.filter(|_| state != SudoState::Over) else {
            if state == SudoState::Over || !in_prompt_line {
                left.push(*first);
            } else {
                in_prompt_line = *first != b'\n';
            }
            rest = behind;
            continue;
        };
        let before = &output[..output.len() - rest.len()];
        let framed = mark == SudoMark::Prompt && before.ends_with(b"[sudo: ");
        if framed && !in_prompt_line {
            left.truncate(left.len() - b"[sudo: ".len());
        }
        state = state.after(mark);
        in_prompt_line = on_terminal || framed;
        rest = behind_mark;
    }
    (left, state)
}

/// Output made of marks, of prefixes of marks, and of the text around them.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let login = SudoLogin::known();
    let [prompt, start] = [SudoMark::Prompt, SudoMark::Start].map(|mark| login.text(mark));
    let piece = {
        let prompt = prompt.clone();
        (0..prompt.len()).prop_map(move |len| prompt[..len].to_owned())
    };
    let text = prop_oneof![
        3 => Just(prompt),
        1 => Just(start),
        3 => piece,
        2 => Just("[sudo: ".to_owned()),
        1 => Just("] Password: ".to_owned()),
        2 => Just("\r\n".to_owned()),
        2 => "[a-z-]{0,8}",
    ];
    prop::collection::vec(text, 0..12).prop_map(|texts| texts.concat().into_bytes())
}

proptest! {
    #[test]
    fn marks_are_taken_out_of_any_chunks(
        output in output(),
        sizes in prop::collection::vec(1_usize..60, 600),
        on_terminal: bool,
    ) {
        let login = SudoLogin::known();
        let mut dialogue = SudoDialogue::default();
        let mut left = Vec::new();
        let mut rest = &output[..];
        for size in sizes {
            let (chunk, tail) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            let mut chunk = chunk.to_vec();
            if dialogue.state != SudoState::Over {
                dialogue.filter(&login, on_terminal, &mut chunk);
            }
            left.extend(chunk);
            rest = tail;
            prop_assert!(dialogue.held.len() < "[sudo: ".len() + login.text(SudoMark::Prompt).len());
        }
        let state = dialogue.state;
        left.extend(dialogue.into_rest());
        prop_assert_eq!((left, state), reference(&login, on_terminal, &output));
    }
}
