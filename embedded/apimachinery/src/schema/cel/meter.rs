//! The budget of rules while they are evaluated.
//!
//! The interpreter has no limit of its own, so rules are given meters when they are compiled: each
//! round of a loop pays for what it does (`cond` becomes `@pay(cost) ? cond : false`), and each
//! call whose cost depends on its arguments is made by `@metered`, which looks at their sizes
//! first. When the budget is spent, loops end and calls are refused; that is remembered, so that no
//! rule can hide it behind `||`.
//!
//! The limits are Kubernetes': [`CALL_LIMIT`] for one rule on one value, [`OBJECT_LIMIT`] for all
//! rules on an object. [`TIME_LIMIT`] is the last resort for what no model foresees.

use std::cell::Cell;
use std::time::{Duration, Instant};

use kube_cel::cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators,
};
use kube_cel::cel::functions::FunctionContext;
use kube_cel::cel::{Context, ExecutionError, Value};

use super::cost::{self, Size};
use crate::schema::cel::estimate;

/// What one rule may cost on one value.
pub(super) const CALL_LIMIT: u64 = 1_000_000;
/// What all rules may cost on one object.
const OBJECT_LIMIT: u64 = 10_000_000;
/// How long all rules of one object may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// What it costs to compile a regular expression.
const COMPILING: u64 = 1000;
/// The precision that `format` may be asked for.
const MAX_PRECISION: u64 = 100;

const PAY: &str = "@pay";
const METERED: &str = "@metered";
/// Variables of the macros, which no rule can name.
const RESULT: &str = "@result";

#[derive(Debug, Clone, Copy)]
struct Budget {
    call: u64,
    object: u64,
    until: Option<Instant>,
    spent: bool,
}

thread_local! {
    static BUDGET: Cell<Budget> = const { Cell::new(Budget { call: 0, object: 0, until: None, spent: true }) };
}

/// Begins the budget of an object on this thread.
pub(super) fn begin_object() {
    BUDGET.set(Budget {
        call: CALL_LIMIT,
        object: OBJECT_LIMIT,
        until: Instant::now().checked_add(TIME_LIMIT),
        spent: false,
    });
}

/// Begins the budget of one rule; `false` if nothing is left of the object's.
pub(super) fn begin_call() -> bool {
    let mut budget = BUDGET.get();
    if budget.object == 0 {
        return false;
    }
    budget.call = CALL_LIMIT;
    budget.spent = false;
    BUDGET.set(budget);
    true
}

/// Whether the rule of the last [`begin_call`] has used up its budget.
pub(super) fn is_spent() -> bool {
    BUDGET.get().spent
}

/// Takes from the budget; `false` if it is spent.
fn pay(cost: u64) -> bool {
    let mut budget = BUDGET.get();
    let in_time = budget.until.is_some_and(|until| Instant::now() < until);
    if budget.spent || cost > budget.call || cost > budget.object || !in_time {
        budget.spent = true;
        if cost > budget.object || !in_time {
            budget.object = 0;
        }
        BUDGET.set(budget);
        return false;
    }
    budget.call -= cost;
    budget.object -= cost;
    BUDGET.set(budget);
    true
}

/// Registers the functions that metered rules call.
pub(super) fn register(context: &mut Context<'_>) {
    context.add_function(
        PAY,
        |cost: i64| pay(u64::try_from(cost).unwrap_or(u64::MAX)),
    );
    context.add_function(METERED, metered);
}

/// `@metered([target?, arguments…], call)`: evaluates the operands once, pays for what the call
/// will do with them, and makes the call, which refers to them by the names that [`operand`] gives.
fn metered(frame: &FunctionContext<'_, '_>) -> Result<Value, ExecutionError> {
    let refused = || ExecutionError::function_error(METERED, "malformed");
    let [operands, call] = frame.args else {
        return Err(refused());
    };
    let (Expr::List(operands), Expr::Call(made)) = (&operands.expr, &call.expr) else {
        return Err(refused());
    };
    let mut scope = frame.ptx.new_inner_scope();
    let mut sizes = Vec::with_capacity(operands.elements.len());
    let mut texts = Vec::new();
    for (index, element) in operands.elements.iter().enumerate() {
        let value = frame.ptx.resolve(element)?;
        sizes.push(size(&value));
        if let Value::String(text) = &value {
            texts.push(text.clone());
        }
        if let (Value::Int(count), "range") = (&value, made.func_name.as_str()) {
            sizes.push(Size {
                whole: u64::try_from(*count).unwrap_or_default(),
                ..Size::SCALAR
            });
        }
        scope.add_variable_from_value(operand(index), value);
    }
    if made.func_name == "format" && texts.first().is_some_and(|text| !is_modest(text)) {
        return Err(ExecutionError::function_error(
            "format",
            format!("precision must not be above {MAX_PRECISION}"),
        ));
    }
    let (mut cost, _) = cost::of_call(&qualified(made), &sizes);
    if matches!(made.func_name.as_str(), "find" | "findAll") {
        // They compile their pattern at each call.
        cost = cost.saturating_add(COMPILING);
    }
    if !pay(cost.saturating_add(1)) {
        return Err(ExecutionError::function_error(METERED, "budget spent"));
    }
    scope.resolve(call)
}

/// Whether a format asks for no absurd precision.
fn is_modest(format: &str) -> bool {
    format.split("%.").skip(1).all(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.is_empty() || digits.parse::<u64>().is_ok_and(|n| n <= MAX_PRECISION)
    })
}

/// The size of a value.
fn size(value: &Value) -> Size {
    match value {
        Value::String(text) => Size::text(text.len() as u64),
        Value::Bytes(bytes) => Size::text(bytes.len() as u64),
        Value::List(items) => Size {
            len: items.len() as u64,
            whole: items
                .iter()
                .fold(1u64, |sum, item| sum.saturating_add(size(item).whole)),
            list: true,
            map: false,
        },
        Value::Map(map) => Size {
            len: map.map.len() as u64,
            whole: map.map.values().fold(1u64, |sum, item| {
                sum.saturating_add(size(item).whole).saturating_add(1)
            }),
            list: false,
            map: true,
        },
        _ => Size::SCALAR,
    }
}

fn operand(index: usize) -> String {
    format!("@{index}")
}

/// Puts meters into an expression.
pub(super) fn install(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                install(part);
            }
            if needs_meter(call) {
                let call = std::mem::take(call);
                expression.expr = Expr::Call(metered_call(call));
            }
        }
        Expr::Comprehension(fold) => {
            let round = estimate::nodes(&fold.loop_cond) + estimate::nodes(&fold.loop_step);
            for part in [
                &mut fold.iter_range,
                &mut fold.accu_init,
                &mut fold.loop_cond,
                &mut fold.loop_step,
                &mut fold.result,
            ] {
                install(part);
            }
            let condition = std::mem::take(&mut fold.loop_cond);
            fold.loop_cond = call(
                operators::CONDITIONAL,
                vec![
                    call(PAY, vec![literal(LiteralValue::Int(round.into()))]),
                    condition,
                    literal(LiteralValue::Boolean(false.into())),
                ],
            );
        }
        Expr::List(list) => list.elements.iter_mut().for_each(install),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    install(&mut entry.key);
                    install(&mut entry.value);
                }
            }
        }
        Expr::Select(select) => install(&mut select.operand),
        Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// Whether the cost of a call depends on its arguments.
fn needs_meter(call: &CallExpr) -> bool {
    match call.func_name.as_str() {
        // A literal bounds the comparison.
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => !call.args.iter().any(is_literal),
        operators::IN => !matches!(call.args.get(1).map(|list| &list.expr), Some(Expr::List(_))),
        // What `map` and `filter` gather is paid for by the rounds.
        operators::ADD => {
            !matches!(call.args.first().map(|sum| &sum.expr), Some(Expr::Ident(name)) if name == RESULT)
        }
        "size" | "hasValue" | "value" | "orValue" | "or" | "type" | "duration" | "timestamp"
        | "int" | "uint" | "double" => false,
        name if name.starts_with("optional.") => false,
        // Operators and our own functions; the former have signs in their names, the latter begin
        // with one.
        name => name.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_on(call, "optional"),
    }
}

fn is_literal(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Literal(_))
}

/// Whether the target is a namespace of functions, not a value.
fn is_on(call: &CallExpr, namespace: &str) -> bool {
    matches!(call.target.as_ref().map(|target| &target.expr), Some(Expr::Ident(name)) if name == namespace)
}

/// Names before the dot of functions such as `sets.contains`.
const NAMESPACES: [&str; 8] = [
    "base64",
    "format",
    "ip",
    "jsonpatch",
    "lists",
    "math",
    "sets",
    "strings",
];

fn has_namespace(call: &CallExpr) -> bool {
    NAMESPACES.iter().any(|namespace| is_on(call, namespace))
}

/// The name of a function with its namespace.
pub(super) fn qualified(call: &CallExpr) -> String {
    match call.target.as_ref().map(|target| &target.expr) {
        Some(Expr::Ident(namespace)) if has_namespace(call) => {
            format!("{namespace}.{}", call.func_name)
        }
        _ => call.func_name.clone(),
    }
}

fn metered_call(mut made: CallExpr) -> CallExpr {
    let mut operands = Vec::new();
    let mut take = |expression: &mut IdedExpr| {
        let name = operand(operands.len());
        operands.push(std::mem::replace(expression, ident(&name)));
    };
    if !has_namespace(&made)
        && let Some(target) = &mut made.target
    {
        take(target);
    }
    made.args.iter_mut().for_each(&mut take);
    CallExpr {
        func_name: METERED.to_owned(),
        target: None,
        args: vec![
            expression(Expr::List(ListExpr::new(operands))),
            expression(Expr::Call(made)),
        ],
    }
}

fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    expression(Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: None,
        args,
    }))
}

fn ident(name: &str) -> IdedExpr {
    expression(Expr::Ident(name.to_owned()))
}

fn literal(value: LiteralValue) -> IdedExpr {
    expression(Expr::Literal(value))
}

fn expression(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}
