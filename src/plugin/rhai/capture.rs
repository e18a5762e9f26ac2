//! Which captured variables nobody changes.
//!
//! Rhai makes a captured variable a shared one, and a call on a shared variable whose closure uses the
//! variable too (`args.list.map(|it| it * args.factor)`) fails as a data race. What nobody changes can
//! as well be copied, and then there is no race.

use std::{collections::BTreeSet, ptr};

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

/// Functions that leave what they are called on as it is.
const PURE: &[&str] = &[
    "abs",
    "all",
    "as_string",
    "bytes",
    "ceiling",
    "chars",
    "contains",
    "ends_with",
    "extract",
    "filter",
    "find",
    "find_map",
    "floor",
    "get",
    "index_of",
    "is_empty",
    "join",
    "json",
    "keys",
    "len",
    "map",
    "max",
    "min",
    "parse_float",
    "parse_int",
    "print",
    "reduce",
    "reduce_rev",
    "regex_find",
    "regex_replace",
    "round",
    "slug",
    "some",
    "starts_with",
    "sub_string",
    "title_case",
    "to_debug",
    "to_float",
    "to_int",
    "to_json",
    "to_lower",
    "to_string",
    "to_upper",
    "type_of",
    "values",
];

/// The names of captured variables that no script of these changes, sorted.
pub fn steady<'a>(scripts: impl IntoIterator<Item = &'a AST>) -> Vec<String> {
    let mut captured = BTreeSet::new();
    let mut changed = BTreeSet::new();
    for ast in scripts {
        let functions: BTreeSet<&str> = ast.iter_fn_def().map(|it| it.name.as_str()).collect();
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Share(variables))) => {
                    captured.extend(variables.iter().map(|(it, _)| it.name.to_string()));
                }
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                    changed.extend(root(&assignment.1.lhs));
                }
                Some(
                    ASTNode::Stmt(Stmt::FnCall(call, _)) | ASTNode::Expr(Expr::FnCall(call, _)),
                ) => {
                    changed.extend(changed_by(call, &functions));
                }
                Some(ASTNode::Expr(expr @ (Expr::Dot(..) | Expr::Index(..)))) => {
                    if !first_method(expr).is_none_or(|it| PURE.contains(&it)) {
                        changed.extend(root(expr));
                    }
                }
                Some(_) | None => (),
            }
            true
        });
    }
    // A closure may change what it is called on by its name there.
    if changed.contains("this") {
        return Vec::new();
    }
    captured.difference(&changed).cloned().collect()
}

/// Where a script curries a function itself. Closures do, but one at a time: a curried function may hold
/// copies of another, and these of others, which doubles with each step.
pub fn find_curry(ast: &AST) -> Option<Position> {
    let mut found = None;
    let mut of_closures = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            // Nothing but a closure begins with this statement.
            Some(ASTNode::Expr(Expr::Stmt(block)) | ASTNode::Stmt(Stmt::Block(block)))
                if let [Stmt::Share(_), curry] = block.statements() =>
            {
                of_closures.extend(call_of(curry).map(|it| ptr::from_ref::<FnCallExpr>(it).addr()));
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, position))) if call.name == "curry" => {
                found = Some(*position);
            }
            Some(
                ASTNode::Stmt(Stmt::FnCall(call, position))
                | ASTNode::Expr(Expr::FnCall(call, position)),
            ) if call.name == "curry"
                && !of_closures.contains(&ptr::from_ref::<FnCallExpr>(call).addr()) =>
            {
                found = Some(*position);
            }
            Some(_) | None => (),
        }
        found.is_none()
    });
    found
}

fn call_of(statement: &Stmt) -> Option<&FnCallExpr> {
    match statement {
        Stmt::FnCall(call, _) => Some(call),
        Stmt::Expr(expr) => match &**expr {
            Expr::FnCall(call, _) => Some(call),
            _ => None,
        },
        _ => None,
    }
}

/// The variable that a chain of properties and calls begins with.
fn root(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Variable(variable, ..) => Some(variable.1.to_string()),
        Expr::ThisPtr(_) => Some("this".to_owned()),
        Expr::Dot(chain, ..) | Expr::Index(chain, ..) => root(&chain.lhs),
        _ => None,
    }
}

/// The first function that is called in a chain: what comes after it works on its result.
fn first_method(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::MethodCall(call, _) => Some(call.name.as_str()),
        Expr::Dot(chain, ..) => first_method(&chain.lhs).or_else(|| first_method(&chain.rhs)),
        // What stands in brackets is no part of the chain, but what follows them is.
        Expr::Index(chain, ..) => first_method(&chain.lhs).or_else(|| match &chain.rhs {
            Expr::Dot(rest, ..) | Expr::Index(rest, ..) => first_method(&rest.rhs),
            _ => None,
        }),
        _ => None,
    }
}

/// `push(list, 1)` is `list.push(1)`; a function of the script gets a copy.
fn changed_by(call: &FnCallExpr, functions: &BTreeSet<&str>) -> Option<String> {
    let name = call.name.as_str();
    if call.op_token.is_some() || functions.contains(name) || PURE.contains(&name) {
        return None;
    }
    root(call.args.first()?)
}
