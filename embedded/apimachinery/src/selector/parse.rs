//! The grammar of label selectors.
//!
//! ```text
//! selector    = requirement { "," requirement }
//! requirement = [ "!" ] key | key ( "in" | "notin" ) "(" values ")" | key ( "=" | "==" | "!=" | ">" | "<" ) value
//! ```
//! `in` and `notin` are words like any other where a key or value stands.

use super::labels::{Operator, Requirement};
use crate::field::FieldError;
use crate::syntax;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
    Bad(String),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Word(word) => word,
            Token::Symbol(symbol) => symbol,
            Token::Bad(text) => text,
            Token::End => "",
        }
    }
}

const SYMBOLS: [&str; 9] = ["!=", "==", "=", "!", "(", ")", ",", ">", "<"];
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

fn tokens(selector: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = selector.trim_start();
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            let is_end = |c: char| c.is_ascii_whitespace() || "=!(),<>".contains(c);
            let end = rest.find(is_end).unwrap_or(rest.len());
            if rest[..end].contains('\0') {
                tokens.push(Token::Bad(rest[..end].to_string()));
            } else {
                tokens.push(Token::Word(rest[..end].to_string()));
            }
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    tokens.push(Token::End);
    tokens
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token::End)
    }

    fn peek(&mut self) -> Token {
        self.tokens.peek().cloned().unwrap_or(Token::End)
    }
}

/// Parses a selector to its requirements, sorted by key.
pub(super) fn parse(selector: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser {
        tokens: tokens(selector).into_iter().peekable(),
    };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::End => break,
            Token::Word(_) | Token::Symbol("!") => {
                let requirement = requirement(&mut parser)
                    .map_err(|e| format!("unable to parse requirement: {e}"))?;
                requirements.push(requirement);
            }
            other => {
                return Err(format!(
                    "found '{}', expected: !, identifier, or 'end of string'",
                    other.text()
                ));
            }
        }
        match parser.next() {
            Token::End => break,
            Token::Symbol(",") => match parser.peek() {
                Token::Word(_) | Token::Symbol("!") => {}
                other => {
                    return Err(format!(
                        "found '{}', expected: identifier after ','",
                        other.text()
                    ));
                }
            },
            other => {
                return Err(format!(
                    "found '{}', expected: ',' or 'end of string'",
                    other.text()
                ));
            }
        }
    }
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(requirements)
}

fn requirement(parser: &mut Parser) -> Result<Requirement, String> {
    let mut first = parser.next();
    let negated = first == Token::Symbol("!");
    if negated {
        first = parser.next();
    }
    let Token::Word(key) = first else {
        return Err(format!("found '{}', expected: identifier", first.text()));
    };
    let problems = syntax::qualified_name(&key);
    if !problems.is_empty() {
        return Err(FieldError::invalid("", key, problems.join("; ")).to_string());
    }
    if negated {
        return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
    }
    if matches!(parser.peek(), Token::End | Token::Symbol(",")) {
        return Requirement::new(&key, Operator::Exists, Vec::new());
    }
    let token = parser.next();
    let (operator, set) = match token.text() {
        "in" => (Operator::In, true),
        "notin" => (Operator::NotIn, true),
        "=" | "==" => (Operator::In, false),
        "!=" => (Operator::NotIn, false),
        ">" => (Operator::GreaterThan, false),
        "<" => (Operator::LessThan, false),
        other => return Err(format!("found '{other}', expected: {OPERATORS}")),
    };
    let values = if set {
        values(parser)?
    } else {
        vec![value(parser)?]
    };
    Requirement::new(&key, operator, values)
}

fn value(parser: &mut Parser) -> Result<String, String> {
    match parser.peek() {
        Token::End | Token::Symbol(",") => Ok(String::new()),
        Token::Word(word) => {
            parser.next();
            Ok(word)
        }
        other => Err(format!("found '{}', expected: identifier", other.text())),
    }
}

/// `(a,,b)`: what stands between two commas may be empty.
fn values(parser: &mut Parser) -> Result<Vec<String>, String> {
    let open = parser.next();
    if open != Token::Symbol("(") {
        return Err(format!("found '{}' expected: '('", open.text()));
    }
    let mut values: Vec<String> = Vec::new();
    loop {
        let value = match parser.peek() {
            Token::Word(word) => {
                parser.next();
                word
            }
            Token::Symbol("," | ")") => String::new(),
            other => {
                return Err(format!(
                    "found '{}', expected: ',', or identifier",
                    other.text()
                ));
            }
        };
        if !values.contains(&value) {
            values.push(value);
        }
        match parser.next() {
            Token::Symbol(",") => {}
            Token::Symbol(")") => {
                values.sort();
                return Ok(values);
            }
            other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_as_kubernetes_tells_them() {
        let cases = [
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                "a in b",
                "unable to parse requirement: found 'b' expected: '('",
            ),
            (
                "a in (b",
                "unable to parse requirement: found '', expected: ',' or ')'",
            ),
            (
                "=a",
                "found '=', expected: !, identifier, or 'end of string'",
            ),
            ("a,", "found '', expected: identifier after ','"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            (
                "!",
                "unable to parse requirement: found '', expected: identifier",
            ),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ];
        for (selector, want) in cases {
            assert_eq!(parse(selector).unwrap_err(), want, "{selector:?}");
        }
        let error = parse("a/b/c=1").unwrap_err();
        assert!(error.starts_with(
            r#"unable to parse requirement: <nil>: Invalid value: "a/b/c": a qualified name must"#
        ));
    }
}
