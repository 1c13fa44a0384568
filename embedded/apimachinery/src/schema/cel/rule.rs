//! One rule: compiled once, evaluated against a value and its past.

use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::IdedExpr;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{self, Context, ExecutionError};
use serde_json::{Map, Value};

use super::{expression, field_path, matching, meter, value};
use crate::field::{ErrorKind, FieldError, Path};
use crate::schema::Flaw;
use crate::schema::node::NodeRef;

/// A compiled rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    source: String,
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
    kind: ErrorKind,
    field_path: Option<String>,
    uses_old_self: bool,
    optional_old_self: bool,
}

/// An expression as it was written, for the estimate of its cost, and with meters, for evaluation.
#[derive(Debug, Clone)]
struct Program {
    plain: Arc<IdedExpr>,
    metered: Arc<IdedExpr>,
}

impl Program {
    fn parse(source: &str) -> Result<Self, String> {
        let plain = expression::parse(source)?;
        let mut metered = plain.clone();
        meter::install(&mut metered);
        Ok(Self {
            plain: Arc::new(plain),
            metered: Arc::new(metered),
        })
    }
}

/// Compiles the rules of a schema node.
pub(crate) fn compile_rules(
    schema: &Map<String, Value>,
    path: &Path<'_>,
) -> Result<Vec<Rule>, Flaw> {
    let Some(rules) = schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
    else {
        return Ok(Vec::new());
    };
    let base = path.child("x-kubernetes-validations");
    rules
        .iter()
        .enumerate()
        .map(|(index, rule)| compile(rule, &base.index(index)))
        .collect()
}

fn compile(rule: &Value, path: &Path<'_>) -> Result<Rule, Flaw> {
    let text = |name: &str| {
        rule.get(name)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|t| !t.is_empty())
    };
    let source = text("rule")
        .ok_or_else(|| FieldError::required(path.child("rule"), "rule is not specified"))?;
    let program = Program::parse(source).map_err(|e| {
        FieldError::invalid(
            path.child("rule"),
            source,
            format!("compilation failed: {e}"),
        )
    })?;
    let message_program = match text("messageExpression") {
        None => None,
        Some(source) => Some(Program::parse(source).map_err(|e| {
            let detail = format!("messageExpression compilation failed: {e}");
            FieldError::invalid(path.child("messageExpression"), source, detail)
        })?),
    };
    let field_path = match text("fieldPath") {
        None => None,
        Some(source) => Some(field_path::normalise(source).ok_or_else(|| {
            let detail =
                "fieldPath must be a valid path: expected [ or . at the start and after each name";
            FieldError::invalid(path.child("fieldPath"), source, detail)
        })?),
    };
    let kind = match text("reason") {
        None | Some("FieldValueInvalid") => ErrorKind::Invalid,
        Some("FieldValueRequired") => ErrorKind::Required,
        Some("FieldValueForbidden") => ErrorKind::Forbidden,
        Some("FieldValueDuplicate") => ErrorKind::Duplicate,
        Some(other) => {
            let known = [
                "FieldValueDuplicate",
                "FieldValueForbidden",
                "FieldValueInvalid",
                "FieldValueRequired",
            ];
            return Err(FieldError::not_supported(path.child("reason"), other, &known).into());
        }
    };
    Ok(Rule {
        source: source.to_string(),
        uses_old_self: expression::mentions(&program.plain, "oldSelf"),
        program,
        message: text("message").map(Into::into),
        message_program,
        kind,
        field_path,
        optional_old_self: rule
            .get("optionalOldSelf")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
    })
}

thread_local! {
    static BASE: Context<'static> = base_context();
}

fn base_context() -> Context<'static> {
    let mut context = Context::default().with_all();
    meter::register(&mut context);
    matching::register(&mut context);
    context.add_function("type", |value: cel::Value| {
        value::type_name(&value).to_string()
    });
    for name in value::TYPE_NAMES {
        context.add_variable_from_value(*name, (*name).to_string());
    }
    context
}

/// Evaluates the rules of one node on a value. `unchanged` values are let off what they broke
/// before.
pub(super) fn evaluate(
    self_value: &Value,
    old: Option<&Value>,
    node: NodeRef<'_>,
    path: &Path<'_>,
    unchanged: bool,
    errors: &mut Vec<FieldError>,
) {
    BASE.with(|base| {
        let mut context = base.new_inner_scope();
        context.add_variable_from_value("self", value::convert(self_value, Some(node)));
        for rule in &node.get().cel {
            if rule.uses_old_self && old.is_none() && !rule.optional_old_self {
                continue;
            }
            if !rule.uses_old_self && unchanged {
                continue;
            }
            if !meter::begin_call() {
                errors.push(FieldError::invalid(
                    path,
                    node.get().kind.cel_name(),
                    OUT_OF_BUDGET,
                ));
                return;
            }
            let mut context = context.new_inner_scope();
            match (rule.optional_old_self, old) {
                (true, old) => {
                    let old = old.map_or_else(OptionalValue::none, |o| {
                        OptionalValue::of(value::convert(o, Some(node)))
                    });
                    context.add_variable_from_value("oldSelf", cel::Value::Opaque(Arc::new(old)));
                }
                (false, Some(old)) => {
                    context.add_variable_from_value("oldSelf", value::convert(old, Some(node)))
                }
                (false, None) => {}
            }
            errors.extend(rule.run(&context, node.get().kind.cel_name(), path));
        }
    });
}

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

impl Rule {
    /// The expressions of the rule and the fields that they stand in.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&'static str, &IdedExpr)> {
        let message = self.message_program.as_ref();
        std::iter::once(("rule", &*self.program.plain))
            .chain(message.map(|program| ("messageExpression", &*program.plain)))
    }

    fn run(&self, context: &Context<'_>, type_name: &str, path: &Path<'_>) -> Option<FieldError> {
        let result = cel::Value::resolve(&self.program.metered, context);
        if meter::is_spent() {
            let problem = format!(
                "{OUT_OF_BUDGET}: call cost exceeds limit of {} for rule: {}",
                meter::CALL_LIMIT,
                self.told()
            );
            return Some(FieldError::invalid(path, type_name, problem));
        }
        let problem = match result {
            Ok(cel::Value::Bool(true)) => return None,
            Ok(cel::Value::Bool(false)) => return Some(self.failure(context, type_name, path)),
            Ok(_) => format!("cel expression must evaluate to a bool: {}", self.told()),
            Err(ExecutionError::NoSuchOverload) => format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {}",
                self.told()
            ),
            Err(error) => format!("{} evaluating rule: {}", describe(&error), self.told()),
        };
        Some(FieldError::invalid(path, type_name, problem))
    }

    fn failure(&self, context: &Context<'_>, type_name: &str, path: &Path<'_>) -> FieldError {
        let path = match (&self.field_path, path.is_root()) {
            (None, _) => path.to_string(),
            (Some(field), true) => field.clone(),
            (Some(field), false) if field.starts_with('[') => format!("{path}{field}"),
            (Some(field), false) => format!("{path}.{field}"),
        };
        let detail = self
            .computed_message(context)
            .unwrap_or_else(|| match &self.message {
                Some(message) => message.clone(),
                None => format!("failed rule: {}", self.source),
            });
        let bad_value = Some(type_name.into());
        let detail = if self.kind == ErrorKind::Duplicate {
            String::new()
        } else {
            detail
        };
        FieldError {
            path,
            kind: self.kind,
            bad_value,
            detail,
        }
    }

    /// The message that `messageExpression` gives; `None` if there is none, or none that can be
    /// shown.
    fn computed_message(&self, context: &Context<'_>) -> Option<String> {
        const MAX_BYTES: usize = 5 * 1024;
        let program = self.message_program.as_ref()?;
        if !meter::begin_call() {
            return None;
        }
        let result = cel::Value::resolve(&program.metered, context);
        // What ran out of its budget is not what the rule's author wanted to say.
        match result.ok().filter(|_| !meter::is_spent()) {
            Some(cel::Value::String(text)) => {
                let text = text.trim();
                (!text.is_empty() && text.len() <= MAX_BYTES && !text.contains('\n'))
                    .then(|| text.to_string())
            }
            _ => None,
        }
    }

    fn told(&self) -> &str {
        self.message.as_deref().unwrap_or(&self.source)
    }
}

fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::UndeclaredReference(name) => format!("undeclared reference to '{name}'"),
        ExecutionError::DivisionByZero(_) => "division by zero".into(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".into(),
        ExecutionError::Overflow(..) => "integer overflow".into(),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        other => other.to_string(),
    }
}
