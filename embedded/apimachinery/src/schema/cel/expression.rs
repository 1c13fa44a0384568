//! Parsing: CEL source to an expression that the interpreter evaluates safely and as Kubernetes
//! would.
//!
//! The interpreter of `cel` 0.13 has three gaps that are closed on the parsed expression: it panics
//! on message literals (refused here: there are no messages in Kubernetes' rules), `a.?b` fails
//! where `b` is absent (rewritten to the index form `a[?"b"]`, which does not), and `cel.bind` is
//! unknown (rewritten to a fold over nothing).

use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators,
};
use kube_cel::cel::parser::Parser;

/// The longest rule taken.
const MAX_CHARACTERS: usize = 16 * 1024;
/// How deep an expression may be nested: everything that handles one follows it on its stack.
const MAX_DEPTH: usize = 100;
/// Rules up to this length cannot exhaust a stack.
const SHORT: usize = 128;
/// Enough stack for the parser on the longest rule. It is only taken as far as it is used.
const PARSER_STACK: usize = 256 * 1024 * 1024;

/// Parses and adapts a rule.
pub(super) fn parse(source: &str) -> Result<IdedExpr, String> {
    if source.len() > MAX_CHARACTERS {
        return Err(format!(
            "the expression is longer than {MAX_CHARACTERS} characters"
        ));
    }
    if source.len() <= SHORT {
        return parse_here(source);
    }
    // The parser follows chains such as `a.a.a` and `!!!a` on its stack, which its own limit does
    // not count.
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new()
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || parse_here(source))
            .map_err(|error| format!("the parser cannot be started: {error}"))?;
        parser
            .join()
            .unwrap_or_else(|_| Err("the parser gave up".to_owned()))
    })
}

fn parse_here(source: &str) -> Result<IdedExpr, String> {
    let mut expression = Parser::new()
        .enable_optional_syntax(true)
        .parse(source)
        .map_err(|e| e.to_string())?;
    if depth(&expression) > MAX_DEPTH {
        return Err(format!(
            "the expression is nested more than {MAX_DEPTH} levels deep"
        ));
    }
    adapt(&mut expression)?;
    Ok(expression)
}

/// Whether the expression mentions the variable.
pub(super) fn mentions(expression: &IdedExpr, variable: &str) -> bool {
    expression.references().has_variable(variable)
}

fn depth(expression: &IdedExpr) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(depth).max().unwrap_or(0);
    1 + match &expression.expr {
        Expr::Call(call) => deepest(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Expr::Comprehension(fold) => deepest(
            &mut [
                &fold.iter_range,
                &fold.accu_init,
                &fold.loop_cond,
                &fold.loop_step,
                &fold.result,
            ]
            .into_iter(),
        ),
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Select(select) => depth(&select.operand),
        Expr::Map(map) => deepest(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            EntryExpr::StructField(field) => vec![&field.value],
        })),
        Expr::Struct(_) | Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified => 0,
    }
}

fn adapt(expression: &mut IdedExpr) -> Result<(), String> {
    match &mut expression.expr {
        Expr::Struct(literal) => {
            return Err(format!("undeclared reference to '{}'", literal.type_name));
        }
        Expr::Unspecified => return Err("expression is empty".into()),
        Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Call(call) => {
            if let Some(target) = &mut call.target {
                adapt(target)?;
            }
            for argument in &mut call.args {
                adapt(argument)?;
            }
            if call.func_name == operators::OPT_SELECT {
                call.func_name = operators::OPT_INDEX.to_string();
            } else if let Some(bound) = bind(call) {
                expression.expr = bound;
            }
        }
        Expr::Comprehension(fold) => {
            for part in [
                &mut fold.iter_range,
                &mut fold.accu_init,
                &mut fold.loop_cond,
                &mut fold.loop_step,
                &mut fold.result,
            ] {
                adapt(part)?;
            }
        }
        Expr::List(list) => {
            for element in &mut list.elements {
                adapt(element)?;
            }
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                match &mut entry.expr {
                    EntryExpr::MapEntry(entry) => {
                        adapt(&mut entry.key)?;
                        adapt(&mut entry.value)?;
                    }
                    EntryExpr::StructField(field) => {
                        return Err(format!("undeclared field '{}'", field.field));
                    }
                }
            }
        }
        Expr::Select(select) => {
            adapt(&mut select.operand)?;
            // A selection on an optional selects inside it: `a.?b.c`.
            if !select.test && is_optional(&select.operand) {
                let operand = std::mem::take(&mut *select.operand);
                let field = literal(&std::mem::take(&mut select.field));
                expression.expr = Expr::Call(CallExpr {
                    func_name: operators::OPT_INDEX.to_string(),
                    target: None,
                    args: vec![operand, field],
                });
            }
        }
    }
    Ok(())
}

fn is_optional(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::Call(call) if call.func_name == operators::OPT_INDEX)
}

fn literal(text: &str) -> IdedExpr {
    IdedExpr {
        id: 0,
        expr: Expr::Literal(LiteralValue::String(text.into())),
    }
}

/// `cel.bind(name, value, body)` as a fold over an empty list whose accumulator is `name`.
fn bind(call: &mut CallExpr) -> Option<Expr> {
    let on_cel = matches!(&call.target.as_ref()?.expr, Expr::Ident(name) if name == "cel");
    if !on_cel || call.func_name != "bind" || call.args.len() != 3 {
        return None;
    }
    let Expr::Ident(name) = &call.args[0].expr else {
        return None;
    };
    let name = name.clone();
    let ident = |name: &str| IdedExpr {
        id: 0,
        expr: Expr::Ident(name.to_string()),
    };
    let result = call.args.pop()?;
    let accu_init = call.args.pop()?;
    Some(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: IdedExpr {
            id: 0,
            expr: Expr::List(ListExpr::new(Vec::new())),
        },
        iter_var: "#unused".into(),
        iter_var2: None,
        loop_cond: IdedExpr {
            id: 0,
            expr: Expr::Literal(LiteralValue::Boolean(false.into())),
        },
        loop_step: ident(&name),
        accu_var: name,
        accu_init,
        result,
    })))
}
