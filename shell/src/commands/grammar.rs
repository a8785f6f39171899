//! Commands about what form answers take.

use alloc::format;
use alloc::string::ToString;

use engine::grammar::JSON;

use super::{Command, Next, Outcome, Scene};
use crate::chat::Chat;

pub(super) const COMMANDS: [Command; 2] = [
    Command {
        name: "json",
        aliases: &[],
        arguments: "[on|off]",
        summary: "let answers be JSON, an object or a list",
        details: "The model does not know it: say in the message what the JSON should hold.\n\
                  Where max_tokens or the context ends an answer, it is not whole.\n",
        run: json,
    },
    Command {
        name: "grammar",
        aliases: &[],
        arguments: "[text|off]",
        summary: "let answers match a grammar (GBNF)",
        details: "GBNF is llama.cpp's: /grammar root ::= \"yes\" | \"no\" [.!]?\n\
                  One of several lines stands between \"\"\" and \"\"\". /grammar shows it.\n",
        run: grammar,
    },
];

fn is_json(chat: &Chat<'_>) -> bool {
    chat.grammar() == Some(JSON)
}

fn json(scene: &mut Scene<'_, '_, '_>, argument: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    match argument {
        "" => {}
        "on" => chat.set_grammar(Some(JSON))?,
        // Another grammar is not its business.
        "off" if is_json(chat) => chat.set_grammar(None)?,
        "off" => {}
        _ => return Err(format!("/json takes on or off, not \"{argument}\"")),
    }
    console.print(if is_json(chat) { "json = on\n" } else { "json = off\n" });
    Ok(Next::Prompt)
}

fn grammar(scene: &mut Scene<'_, '_, '_>, argument: &str) -> Outcome {
    let (chat, console) = scene.chat()?;
    match argument {
        "" => {}
        "off" => chat.set_grammar(None)?,
        text => {
            let unchanged =
                if chat.grammar().is_some() { "the one before stays" } else { "there is none yet" };
            chat.set_grammar(Some(text)).map_err(|error| format!("{error}; {unchanged}"))?;
        }
    }
    match chat.grammar().map(|text| text.trim_end().to_string()) {
        Some(text) => writeln!(console, "{text}"),
        None => console.print("grammar = off\n"),
    }
    Ok(Next::Prompt)
}

#[cfg(test)]
mod tests {
    use engine::testing::ChainModel;

    use crate::testing::script::Script;
    use crate::tests::{assert_shows, talk_to};

    #[test]
    fn answers_are_json_while_json_is_on() {
        let model = ChainModel::answers("[1]").or_answers("hi");
        let script = "go\n/json\n/json on\ngo\n/json off\ngo\n/json maybe\n";
        let output = talk_to(&model, Script::piped(script));
        // "[" comes before "h" where both are as likely.
        assert_shows(
            &output,
            ">>> go\n[1]\n\n>>> /json\njson = off\n\n>>> /json on\njson = on\n\n>>> go\n[1]\n",
        );
        assert_shows(
            &output,
            "/json off\njson = off\n\n>>> go\n[1]\n\n>>> /json maybe\n/json takes on or off, not \"maybe\"\n",
        );
        let sentence = ChainModel::answers("hi").or_answers("{}");
        assert_shows(
            &talk_to(&sentence, Script::piped("go\n/json on\ngo\n")),
            ">>> go\nhi\n\n>>> /json on\njson = on\n\n>>> go\n{}\n",
        );
    }

    #[test]
    fn a_grammar_decides_what_can_be_answered() {
        let model = ChainModel::answers("yes").or_answers("NO");
        let script = "go\n/grammar\n/grammar root ::= \"y\" [a-z]+ | \"maybe\"\ngo\n/json\n/grammar\n/grammar off\ngo\n";
        let output = talk_to(&model, Script::piped(script));
        assert_shows(&output, ">>> go\nNO\n\n>>> /grammar\ngrammar = off\n\n>>> ");
        let grammar = "root ::= \"y\" [a-z]+ | \"maybe\"\n";
        assert_shows(
            &output,
            &format!(">>> /grammar {grammar}{grammar}\n>>> go\nyes\n\n>>> /json\njson = off\n"),
        );
        assert_shows(
            &output,
            &format!(">>> /grammar\n{grammar}\n>>> /grammar off\ngrammar = off\n\n>>> go\nNO\n"),
        );
        // What JSON is can be read.
        assert_shows(&talk_to(&model, Script::piped("/json on\n/grammar\n")), "\nroot ::= object | array\n");
    }

    #[test]
    fn a_grammar_that_is_none_is_refused_with_its_place() {
        let script = "/grammar root ::= [z-a]\ngo\n/grammar root ::= \"NO\"\n/grammar root = 1\n/grammar\n";
        let output = talk_to(&ChainModel::answers("yes"), Script::piped(script));
        assert_shows(
            &output,
            "line 1, column 11 of the grammar: expected a range from a smaller character to a larger, \
             got 'z' to 'a'; there is none yet\n\n>>> go\nyes\n",
        );
        assert_shows(
            &output,
            "column 6 of the grammar: expected ::= behind the name of the rule, got '='; the one before stays\n",
        );
        assert!(output.ends_with("/grammar\nroot ::= \"NO\"\n\n>>> \n"), "{output}");
    }

    #[test]
    fn an_answer_goes_on_under_its_grammar() {
        let model = ChainModel::answers("abcd").or_answers("x");
        let script = "/set max_tokens 2\n/grammar root ::= \"ab\" \"c\"? \"e\"\ngo\n/continue\n/continue\n";
        let output = talk_to(&model, Script::piped(script));
        assert_shows(
            &output,
            ">>> go\nab\n[stopped after max_tokens = 2; /continue goes on]\n\n>>> /continue\nce\n\n>>> ",
        );
        assert_shows(&output, ">>> /continue\n[the model has nothing to say]\n");
        // An answer that was free cannot go on under any grammar.
        let script = "/set max_tokens 2\ngo\n/json on\n/continue\n";
        assert_shows(
            &talk_to(&model, Script::piped(script)),
            "[stopped: no token of the model leads on under the grammar",
        );
    }
}
