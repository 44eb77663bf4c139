//! From text to the syntax of one query, within bounds that no reading can exceed.

use std::thread;

use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::refusal::Refusal;
use super::select::read_query;
use super::tree::Query;

/// Longest query, in characters (our decision, as are the bounds below).
const LENGTH_MAX: usize = 10_000;

/// Deepest nesting of parentheses.
const PARENTHESES_MAX: usize = 30;

/// Most operators.
const OPERATORS_MAX: usize = 1_000;

/// How deep the parser goes.
const RECURSION_MAX: usize = 50;

/// Room for the deepest reading that the bounds leave possible; threads that serve requests have less.
const STACK_BYTES: usize = 64 << 20;

/// Reads the query of a metric.
pub fn parse(text: &str) -> Result<Query, Refusal> {
    if text.chars().count() > LENGTH_MAX {
        return Err(Refusal::new(format!("must have at most {LENGTH_MAX} characters")));
    }
    thread::scope(|scope| {
        let reading = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || read(text));
        let reading = reading.map_err(|_| Refusal::new("cannot be read now; try again"))?;
        reading.join().unwrap_or_else(|_| Err(Refusal::new("cannot be read")))
    })
}

fn read(text: &str) -> Result<Query, Refusal> {
    let tokens = tokens(text)?;
    let mut statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(RECURSION_MAX)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(refused)?;
    let (statement, rest) = (statements.pop(), statements.len());
    match statement {
        Some(Statement::Query(query)) if rest == 0 => read_query(&query),
        Some(_) if rest > 0 => Err(Refusal::new("must be one statement")),
        Some(_) => Err(Refusal::new("must be a SELECT")),
        None => Err(Refusal::new("must not be empty")),
    }
}

fn refused(error: ParserError) -> Refusal {
    match error {
        ParserError::RecursionLimitExceeded => Refusal::new("is nested too deeply"),
        ParserError::TokenizerError(reason) | ParserError::ParserError(reason) => {
            Refusal::new(format!("is not SQL: {reason}"))
        }
    }
}

/// The words and signs of the text.
fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, Refusal> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, &plain_signs(text))
        .tokenize_with_location()
        .map_err(|error| Refusal::at_location(error.location, error.message))?;
    check_size(&tokens)?;
    Ok(tokens)
}

/// Where a letter is.
#[derive(Clone, Copy)]
enum Within {
    Nothing,
    Quotes(char),
    /// A comment to the end of the line.
    Line,
    /// A comment in so many pairs of signs.
    Block(usize),
}

/// The text with the two signs that the documentation prints in their plain spelling; not inside of quotes and comments.
fn plain_signs(text: &str) -> String {
    let mut within = Within::Nothing;
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let (after, is_pair) = match (within, letter, letters.peek()) {
            (Within::Nothing, '\'' | '"', _) => (Within::Quotes(letter), false),
            (Within::Nothing, '-', Some('-')) => (Within::Line, true),
            (Within::Nothing, '/', Some('*')) => (Within::Block(1), true),
            (Within::Block(depth), '/', Some('*')) => (Within::Block(depth + 1), true),
            (Within::Block(1), '*', Some('/')) => (Within::Nothing, true),
            (Within::Block(depth), '*', Some('/')) => (Within::Block(depth - 1), true),
            (Within::Quotes(open), ..) if open == letter => (Within::Nothing, false),
            (Within::Line, '\n' | '\r', _) => (Within::Nothing, false),
            _ => (within, false),
        };
        match (within, letter) {
            (Within::Nothing, '≥') => plain.push_str(">="),
            (Within::Nothing, '≤') => plain.push_str("<="),
            _ => plain.push(letter),
        }
        if is_pair {
            plain.extend(letters.next());
        }
        within = after;
    }
    plain
}

/// Refuses what would take the parser long or deep.
fn check_size(tokens: &[TokenWithSpan]) -> Result<(), Refusal> {
    let (mut depth, mut operators) = (0_usize, 0);
    for TokenWithSpan { token, span } in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) => operators += usize::from(is_operator(word.keyword)),
            Token::Whitespace(_)
            | Token::Comma
            | Token::Period
            | Token::Number(..)
            | Token::SingleQuotedString(_) => {}
            _ => operators += 1,
        }
        if depth > PARENTHESES_MAX {
            return Err(Refusal::at_location(span.start, "is nested too deeply"));
        }
        if operators > OPERATORS_MAX {
            return Err(Refusal::at_location(span.start, format!("has more than {OPERATORS_MAX} operators")));
        }
    }
    Ok(())
}

fn is_operator(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::CASE
            | Keyword::WHEN
            | Keyword::IS
            | Keyword::IN
            | Keyword::BETWEEN
            | Keyword::SELECT
            | Keyword::INTERVAL
            | Keyword::UNION
    )
}

#[cfg(test)]
mod tests {
    use super::plain_signs;

    #[test]
    fn signs_are_made_plain_where_they_are_operators() {
        for (text, plain) in [
            ("a ≥ 1 AND b ≤ '≥'", "a >= 1 AND b <= '≥'"),
            ("a ≥ 'it''s ≥' ≤ \"≥\"", "a >= 'it''s ≥' <= \"≥\""),
            ("-- don't ≥\na ≥ '≥'", "-- don't ≥\na >= '≥'"),
            ("/* don't /* \" */ ≥ */ a ≥ 1 /*/ ' */ ≤ '≤'", "/* don't /* \" */ ≥ */ a >= 1 /*/ ' */ <= '≤'"),
            ("a - -1 ≥ b / 2 ≤ '--' ≥ 1", "a - -1 >= b / 2 <= '--' >= 1"),
        ] {
            assert_eq!(plain_signs(text), plain);
        }
    }
}
