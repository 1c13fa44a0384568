//! What a rule can cost at most, from the sizes that its schema allows: Kubernetes' estimate when a
//! definition is created.
//!
//! A list, map or text without a limit can be as large as a request, so a rule that goes through
//! one for each element of another is refused until `maxItems`, `maxProperties` or `maxLength` say
//! how large they get.

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::cost::{self, Size};
use super::{meter, value};
use crate::field::{FieldError, Path};
use crate::schema::node::{Additional, Node, NodeRef, Type};
use crate::schema::validation::format::Kind;

/// What one rule may cost, all its evaluations on one object together.
const RULE_LIMIT: u64 = 10_000_000;
/// What all rules of a schema may cost.
const SCHEMA_LIMIT: u64 = 100_000_000;
/// The largest request.
const REQUEST_BYTES: u64 = 3 * 1024 * 1024;
/// The longest text of a time or duration.
const TIME_CHARACTERS: u64 = 35;

const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;

const REMEDY: &str = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";
const EXCEEDS: &str = "exceeds budget by factor of";

/// Whether a finding is one of [`check`].
pub(super) fn is_finding(error: &FieldError) -> bool {
    error.detail.contains(EXCEEDS)
}

/// The rules of a schema that can cost too much; `path` is that of the schema in its CRD.
pub(super) fn check(root: NodeRef<'_>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut total = 0;
    walk(root, 1, path, &mut total, errors);
    if total > SCHEMA_LIMIT {
        let detail = format!(
            "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema {EXCEEDS} {} {REMEDY}",
            factor(total, SCHEMA_LIMIT)
        );
        errors.push(FieldError::forbidden(path, detail));
    }
}

/// `places` is how many values of this node one object can have.
fn walk(
    node: NodeRef<'_>,
    places: u64,
    path: &Path<'_>,
    total: &mut u64,
    errors: &mut Vec<FieldError>,
) {
    let schema = node.get();
    if schema.definition.is_some() {
        return;
    }
    let base = path.child("x-kubernetes-validations");
    for (index, rule) in schema.cel.iter().enumerate() {
        let at = base.index(index);
        for (field, program) in rule.programs() {
            let cost = of(program, node).saturating_mul(places);
            *total = total.saturating_add(cost);
            if cost > RULE_LIMIT {
                let detail = format!(
                    "estimated {field} cost {EXCEEDS} {} {REMEDY}",
                    factor(cost, RULE_LIMIT)
                );
                errors.push(FieldError::forbidden(at.child(field), detail));
            }
        }
    }
    let properties = path.child("properties");
    for (name, id) in &schema.properties {
        walk(node.at(*id), places, &properties.key(name), total, errors);
    }
    let below = |child: NodeRef<'_>| {
        // No more of them fit into a request.
        let fit = REQUEST_BYTES / (least_bytes(child.get(), child) + 1);
        places.saturating_mul(length(node)).min(fit).max(1)
    };
    if let Some(items) = node.items() {
        walk(items, below(items), &path.child("items"), total, errors);
    }
    if let Additional::Of(id) = schema.additional {
        let values = node.at(id);
        let path = path.child("additionalProperties");
        walk(values, below(values), &path, total, errors);
    }
}

fn factor(cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    if factor > 100.0 {
        "more than 100x".to_owned()
    } else {
        format!("{factor:.1}x")
    }
}

/// The cost of one evaluation.
fn of(program: &IdedExpr, node: NodeRef<'_>) -> u64 {
    let this = Known::Node(node);
    let mut scope = vec![
        ("self".to_owned(), this.clone()),
        ("oldSelf".to_owned(), this),
    ];
    walk_expression(program, &mut scope).0
}

/// How many steps an expression takes without what depends on sizes.
pub(super) fn nodes(expression: &IdedExpr) -> i64 {
    let all = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(nodes).sum::<i64>();
    1 + match &expression.expr {
        Expr::Call(call) => all(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Expr::Comprehension(fold) => {
            all(&mut [&fold.iter_range, &fold.accu_init, &fold.result].into_iter())
        }
        Expr::List(list) => all(&mut list.elements.iter()),
        Expr::Select(select) => nodes(&select.operand),
        Expr::Map(map) => map.entries.len() as i64,
        _ => 0,
    }
}

/// What is known of a value before there is one.
#[derive(Debug, Clone)]
enum Known<'s> {
    /// A value of a schema node.
    Node(NodeRef<'s>),
    /// A computed list or map of such elements.
    Many(Size, Box<Known<'s>>),
    /// Anything else.
    Sized(Size),
}

impl<'s> Known<'s> {
    fn size(&self) -> Size {
        match self {
            Self::Node(node) => size(*node),
            Self::Many(size, _) | Self::Sized(size) => *size,
        }
    }

    /// An element of a list or value of a map. What nothing is known of is not larger than what
    /// holds it.
    fn element(&self) -> Self {
        match self {
            Self::Node(node) => match (node.items(), node.get().additional) {
                (Some(items), _) => Self::Node(items),
                (None, Additional::Of(id)) => Self::Node(node.at(id)),
                _ => Self::Sized(Size::text(size(*node).whole)),
            },
            Self::Many(_, element) => (**element).clone(),
            Self::Sized(size) => Self::Sized(*size),
        }
    }

    /// What a loop over it goes through: of a map, the keys.
    fn iterated(&self) -> Self {
        if self.size().map {
            return Self::Sized(Size::text(64));
        }
        self.element()
    }

    fn field(&self, name: &str) -> Self {
        let Self::Node(node) = self else {
            return self.element();
        };
        let declared = node
            .get()
            .properties
            .iter()
            .find(|(property, _)| value::escape(property) == name);
        match declared {
            Some((_, id)) => Self::Node(node.at(*id)),
            None => self.element(),
        }
    }

    /// One of two.
    fn or(self, other: Self) -> Self {
        if other.size().whole > self.size().whole || other.size().len > self.size().len {
            other
        } else {
            self
        }
    }
}

type Scope<'s> = Vec<(String, Known<'s>)>;

/// Cost and result of an expression.
fn walk_expression<'s>(expression: &IdedExpr, scope: &mut Scope<'s>) -> (u64, Known<'s>) {
    let scalar = Known::Sized(Size::SCALAR);
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => {
            (0, Known::Sized(Size::text(text.inner().len() as u64)))
        }
        Expr::Literal(_) | Expr::Unspecified | Expr::Struct(_) => (0, scalar),
        Expr::Ident(name) => {
            let known = scope.iter().rev().find(|(other, _)| other == name);
            (1, known.map_or(scalar, |(_, known)| known.clone()))
        }
        Expr::Select(select) => {
            let (cost, operand) = walk_expression(&select.operand, scope);
            let result = if select.test {
                scalar
            } else {
                operand.field(&select.field)
            };
            (cost.saturating_add(1), result)
        }
        Expr::List(list) => {
            let (cost, element) = elements(list.elements.iter(), scope);
            let whole = element
                .size()
                .whole
                .saturating_mul(list.elements.len() as u64);
            let size = Size {
                len: list.elements.len() as u64,
                whole,
                list: true,
                map: false,
            };
            (
                cost.saturating_add(LIST_COST),
                Known::Many(size, Box::new(element)),
            )
        }
        Expr::Map(map) => {
            let parts = map.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => Some(&entry.value),
                EntryExpr::StructField(_) => None,
            });
            let (cost, element) = elements(parts, scope);
            let size = Size {
                len: map.entries.len() as u64,
                whole: element
                    .size()
                    .whole
                    .saturating_mul(map.entries.len() as u64),
                list: false,
                map: true,
            };
            (
                cost.saturating_add(MAP_COST),
                Known::Many(size, Box::new(element)),
            )
        }
        Expr::Comprehension(fold) => {
            let (range_cost, range) = walk_expression(&fold.iter_range, scope);
            let (init_cost, init) = walk_expression(&fold.accu_init, scope);
            let rounds = range.size().len;
            scope.push((fold.iter_var.clone(), range.iterated()));
            scope.push((fold.accu_var.clone(), init.clone()));
            let (condition, _) = walk_expression(&fold.loop_cond, scope);
            let (step, gathered) = walk_expression(&fold.loop_step, scope);
            scope.truncate(scope.len() - 2);
            // What `map` and `filter` gather has as many elements as there were rounds.
            let gathered = match gathered {
                Known::Many(size, element) if size.list && rounds > 0 => {
                    let size = Size {
                        len: rounds,
                        whole: element.size().whole.saturating_mul(rounds),
                        ..size
                    };
                    Known::Many(size, element)
                }
                other => other.or(init),
            };
            scope.push((fold.accu_var.clone(), gathered));
            let (result_cost, result) = walk_expression(&fold.result, scope);
            scope.pop();
            let loops = condition.saturating_add(step).saturating_mul(rounds);
            let cost = [range_cost, init_cost, loops, result_cost]
                .into_iter()
                .fold(0, u64::saturating_add);
            (cost, result)
        }
        Expr::Call(call) => {
            let namespaced = meter::qualified(call) != call.func_name;
            let target = call.target.as_deref().filter(|_| !namespaced);
            let operands: Vec<(u64, Known<'s>)> = target
                .into_iter()
                .chain(&call.args)
                .map(|operand| walk_expression(operand, scope))
                .collect();
            of_call(call, &operands)
        }
    }
}

fn of_call<'s>(
    call: &kube_cel::cel::common::ast::CallExpr,
    operands: &[(u64, Known<'s>)],
) -> (u64, Known<'s>) {
    let scalar = Known::Sized(Size::SCALAR);
    let paid = operands
        .iter()
        .fold(0u64, |sum, (cost, _)| sum.saturating_add(*cost));
    let known = |index: usize| {
        operands
            .get(index)
            .map_or(scalar.clone(), |(_, known)| known.clone())
    };
    let name = call.func_name.as_str();
    match name {
        operators::LOGICAL_AND | operators::LOGICAL_OR => (paid, scalar),
        operators::CONDITIONAL => {
            let cost = |index: usize| operands.get(index).map_or(0, |(cost, _)| *cost);
            (
                cost(0).saturating_add(cost(1).max(cost(2))),
                known(1).or(known(2)),
            )
        }
        operators::INDEX | operators::OPT_INDEX => {
            let result = match call.args.get(1).map(|index| &index.expr) {
                Some(Expr::Literal(LiteralValue::String(field))) => known(0).field(field.inner()),
                _ => known(0).element(),
            };
            (paid.saturating_add(1), result)
        }
        // What `map` and `filter` gather: a step each, as Kubernetes counts it.
        operators::ADD if known(0).size().list => {
            let (of_sum, of_added) = (known(0), known(1));
            let element = of_added.element().or(of_sum.element());
            let size = cost::of_call(name, &[of_sum.size(), of_added.size()]).1;
            (paid.saturating_add(1), Known::Many(size, Box::new(element)))
        }
        "lists.range" | "range" if meter::qualified(call) == "lists.range" => {
            let count = match call.args.first().map(|count| &count.expr) {
                Some(Expr::Literal(LiteralValue::Int(count))) => {
                    u64::try_from(*count.inner()).unwrap_or_default()
                }
                _ => REQUEST_BYTES,
            };
            let size = Size {
                len: count,
                whole: count,
                list: true,
                map: false,
            };
            (
                paid.saturating_add(count),
                Known::Many(size, Box::new(scalar)),
            )
        }
        _ => {
            let sizes: Vec<Size> = operands.iter().map(|(_, known)| known.size()).collect();
            let (cost, size) = cost::of_call(&meter::qualified(call), &sizes);
            let result = match name {
                "first" | "last" | "min" | "max" => known(0).element(),
                "value" | "of" | "ofNonZeroValue" => known(0),
                "or" | "orValue" => known(0).or(known(1)),
                "sort" | "reverse" | "slice" | "distinct" if known(0).size().list => known(0),
                "split" | "findAll" => Known::Many(
                    size,
                    Box::new(Known::Sized(Size::text(known(0).size().len))),
                ),
                _ => Known::Sized(size),
            };
            (paid.saturating_add(cost).saturating_add(1), result)
        }
    }
}

fn elements<'e, 's>(
    parts: impl Iterator<Item = &'e IdedExpr>,
    scope: &mut Scope<'s>,
) -> (u64, Known<'s>) {
    let mut total = 0u64;
    let mut element = Known::Sized(Size::default());
    for part in parts {
        let (cost, known) = walk_expression(part, scope);
        total = total.saturating_add(cost);
        element = element.or(known);
    }
    (total, element)
}

/// The largest value of a node.
fn size(node: NodeRef<'_>) -> Size {
    let len = length(node);
    match node.get().kind {
        Type::Array => Size {
            len,
            whole: cost::traversal(len),
            list: true,
            map: false,
        },
        Type::Object => Size {
            len,
            whole: cost::traversal(len),
            list: false,
            map: true,
        },
        Type::String | Type::IntOrString | Type::Any => Size::text(len),
        Type::Integer | Type::Number | Type::Boolean => Size::SCALAR,
    }
}

/// Characters, elements or entries that a value of a node can have.
fn length(node: NodeRef<'_>) -> u64 {
    let schema = node.get();
    let rules = schema.rules.as_deref();
    match schema.kind {
        Type::Array => rules.and_then(|rules| rules.max_items).unwrap_or_else(|| {
            let item = node.items().map_or(1, |item| least_bytes(item.get(), item));
            REQUEST_BYTES / (item + 1)
        }),
        Type::Object => match schema.additional {
            Additional::Of(id) => {
                rules
                    .and_then(|rules| rules.max_properties)
                    .unwrap_or_else(|| {
                        let value = node.at(id);
                        REQUEST_BYTES / (least_bytes(value.get(), value) + 4)
                    })
            }
            _ => (schema.properties.len() as u64).max(1),
        },
        Type::Integer | Type::Number | Type::Boolean => 1,
        Type::String | Type::IntOrString | Type::Any => text_length(schema),
    }
}

fn text_length(schema: &Node) -> u64 {
    let Some(rules) = &schema.rules else {
        return REQUEST_BYTES;
    };
    if !rules.choices.is_empty() {
        let texts = rules.choices.iter().filter_map(|choice| choice.as_str());
        return texts.map(|text| text.len() as u64).max().unwrap_or(1);
    }
    match rules.format.as_ref().map(|format| format.kind()) {
        Some(Kind::DateTime | Kind::Date | Kind::Duration) => TIME_CHARACTERS,
        // A character has up to four bytes, of which the request counts each.
        _ => rules
            .max_length
            .map_or(REQUEST_BYTES, |max| max.saturating_mul(4)),
    }
}

/// How few bytes a value of a node takes in a request.
fn least_bytes(schema: &Node, node: NodeRef<'_>) -> u64 {
    match schema.kind {
        Type::String => {
            2 + schema
                .rules
                .as_ref()
                .and_then(|rules| rules.min_length)
                .unwrap_or(0)
        }
        Type::Array => 2,
        Type::Boolean => 4,
        Type::Integer | Type::Number | Type::IntOrString | Type::Any => 1,
        Type::Object => {
            let required = schema.rules.iter().flat_map(|rules| &rules.required);
            let fields = required.filter_map(|name| Some((name, node.property(name)?)));
            2 + fields
                .filter(|(_, field)| field.get().default.is_none())
                .map(|(name, field)| 4 + name.len() as u64 + least_bytes(field.get(), field))
                .sum::<u64>()
        }
    }
}
