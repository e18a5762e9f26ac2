//! WIT types as JSON Schema, and their values as JSON.
//!
//! Records are objects, lists and tuples arrays, bytes base64, flags arrays of their names. A case of a variant is its name,
//! or an object of one property where it holds something. An option is its value or null; where its value may be null
//! itself, an object with `some`. A result is an object with `ok` or `error`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use wasmtime::component::{Type, Val};

/// A type that is larger is refused, before what describes it grows beyond all bounds.
const PARTS: usize = 2_000;
const DEPTH: usize = 32;

/// The schema of a type. Fails for what JSON cannot hold.
pub fn schema(ty: &Type) -> Result<Value, String> {
    let mut parts = 0;
    schema_at(ty, 0, &mut parts)
}

fn schema_at(ty: &Type, depth: usize, parts: &mut usize) -> Result<Value, String> {
    *parts += 1;
    if *parts > PARTS || depth > DEPTH {
        return Err("its types are too large".to_owned());
    }
    let mut inner = |ty: &Type| schema_at(ty, depth + 1, parts);
    Ok(match ty {
        Type::Bool => json!({ "type": "boolean" }),
        Type::S8 => integer(i8::MIN, i8::MAX),
        Type::U8 => integer(u8::MIN, u8::MAX),
        Type::S16 => integer(i16::MIN, i16::MAX),
        Type::U16 => integer(u16::MIN, u16::MAX),
        Type::S32 => integer(i32::MIN, i32::MAX),
        Type::U32 => integer(u32::MIN, u32::MAX),
        Type::S64 => integer(i64::MIN, i64::MAX),
        Type::U64 => integer(u64::MIN, u64::MAX),
        Type::Float32 | Type::Float64 => json!({ "type": "number" }),
        Type::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Type::String => json!({ "type": "string" }),
        Type::List(list) if list.ty() == Type::U8 => {
            json!({ "type": "string", "contentEncoding": "base64" })
        }
        Type::List(list) => json!({ "type": "array", "items": inner(&list.ty())? }),
        Type::Record(record) => {
            let mut properties = Map::new();
            let mut required = Vec::new();
            for field in record.fields() {
                properties.insert(field.name.to_owned(), inner(&field.ty)?);
                if !matches!(field.ty, Type::Option(_)) {
                    required.push(field.name.to_owned());
                }
            }
            object(&properties, &required)
        }
        Type::Tuple(tuple) => {
            let types = tuple.types();
            let count = types.len();
            let items = types.map(|it| inner(&it)).collect::<Result<Vec<_>, _>>()?;
            json!({ "type": "array", "prefixItems": items, "minItems": count, "maxItems": count })
        }
        Type::Variant(variant) => {
            let mut cases = Vec::new();
            for case in variant.cases() {
                cases.push(match &case.ty {
                    None => json!({ "const": case.name }),
                    Some(ty) => wrapped(case.name, inner(ty)?),
                });
            }
            json!({ "oneOf": cases })
        }
        Type::Enum(names) => json!({ "type": "string", "enum": names.names().collect::<Vec<_>>() }),
        Type::Option(option) => {
            let ty = option.ty();
            let some = inner(&ty)?;
            let some = if is_nullable(&ty) { wrapped("some", some) } else { some };
            json!({ "anyOf": [some, { "type": "null" }] })
        }
        Type::Result(result) => {
            let mut part = |name, ty: Option<Type>| {
                let schema =
                    ty.as_ref().map_or_else(|| Ok(json!({ "type": "null" })), &mut inner)?;
                Ok::<_, String>(wrapped(name, schema))
            };
            json!({ "oneOf": [part("ok", result.ok())?, part("error", result.err())?] })
        }
        Type::Flags(flags) => json!({
            "type": "array",
            "items": { "type": "string", "enum": flags.names().collect::<Vec<_>>() },
            "uniqueItems": true,
        }),
        Type::Own(_) | Type::Borrow(_) => {
            return Err(
                "it takes or gives a resource, which lives no longer than a call".to_owned()
            );
        }
        Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
            return Err("it takes or gives what is asynchronous".to_owned());
        }
        Type::Map(_) | Type::FixedLengthList(_) => {
            return Err("it uses a type that this version does not know".to_owned());
        }
    })
}

fn integer(least: impl Into<serde_json::Number>, most: impl Into<serde_json::Number>) -> Value {
    json!({ "type": "integer", "minimum": least.into(), "maximum": most.into() })
}

fn wrapped(name: &str, schema: Value) -> Value {
    object(&Map::from_iter([(name.to_owned(), schema)]), &[name.to_owned()])
}

fn object(properties: &Map<String, Value>, required: &[String]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Whether null is a value of the type.
fn is_nullable(ty: &Type) -> bool {
    matches!(ty, Type::Option(_))
}

/// A type as WIT writes it, named ones by their kind.
pub fn signature(ty: &Type) -> String {
    let word = match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::Record(_) => "record",
        Type::Variant(_) => "variant",
        Type::Enum(_) => "enum",
        Type::Flags(_) => "flags",
        Type::Own(_) | Type::Borrow(_) => "resource",
        Type::Future(_) => "future",
        Type::Stream(_) => "stream",
        Type::ErrorContext => "error-context",
        Type::Map(_) => "map",
        Type::FixedLengthList(_) => "list",
        Type::List(list) => return format!("list<{}>", signature(&list.ty())),
        Type::Option(option) => return format!("option<{}>", signature(&option.ty())),
        Type::Tuple(tuple) => {
            let types: Vec<_> = tuple.types().map(|it| signature(&it)).collect();
            return format!("tuple<{}>", types.join(", "));
        }
        Type::Result(result) => {
            let part = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |it| signature(&it));
            return format!("result<{}, {}>", part(result.ok()), part(result.err()));
        }
    };
    word.to_owned()
}

/// A value of the type. The error begins with where in the JSON it is wrong.
pub fn to_val(value: &Value, ty: &Type) -> Result<Val, String> {
    let wrong = || format!(": {value} is no {}", signature(ty));
    let at = |place: &str, err: String| format!("/{place}{err}");
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(wrong)?),
        Type::S8 => Val::S8(whole(value).ok_or_else(wrong)?),
        Type::U8 => Val::U8(whole(value).ok_or_else(wrong)?),
        Type::S16 => Val::S16(whole(value).ok_or_else(wrong)?),
        Type::U16 => Val::U16(whole(value).ok_or_else(wrong)?),
        Type::S32 => Val::S32(whole(value).ok_or_else(wrong)?),
        Type::U32 => Val::U32(whole(value).ok_or_else(wrong)?),
        Type::S64 => Val::S64(whole(value).ok_or_else(wrong)?),
        Type::U64 => Val::U64(whole(value).ok_or_else(wrong)?),
        #[expect(clippy::cast_possible_truncation, reason = "the nearest number that there is")]
        Type::Float32 => Val::Float32(value.as_f64().ok_or_else(wrong)? as f32),
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(wrong)?),
        Type::Char => {
            let mut chars = value.as_str().ok_or_else(wrong)?.chars();
            match (chars.next(), chars.next()) {
                (Some(char), None) => Val::Char(char),
                _ => return Err(wrong()),
            }
        }
        Type::String => Val::String(value.as_str().ok_or_else(wrong)?.to_owned()),
        Type::List(list) if list.ty() == Type::U8 && value.is_string() => {
            let text = value.as_str().ok_or_else(wrong)?;
            let bytes = STANDARD.decode(text).map_err(|_| ": it is no base64".to_owned())?;
            Val::List(bytes.into_iter().map(Val::U8).collect())
        }
        Type::List(list) => {
            let ty = list.ty();
            let read = |(index, it)| to_val(it, &ty).map_err(|err| at(&format!("{index}"), err));
            let entries = value.as_array().ok_or_else(wrong)?.iter().enumerate();
            Val::List(entries.map(read).collect::<Result<_, _>>()?)
        }
        Type::Tuple(tuple) => {
            let entries = value.as_array().filter(|it| it.len() == tuple.types().len());
            let entries = entries.ok_or_else(wrong)?.iter().zip(tuple.types()).enumerate();
            let read = |(index, (it, ty)): (usize, (&Value, Type))| {
                to_val(it, &ty).map_err(|err| at(&format!("{index}"), err))
            };
            Val::Tuple(entries.map(read).collect::<Result<_, _>>()?)
        }
        Type::Record(record) => {
            let map = value.as_object().ok_or_else(wrong)?;
            let mut fields = Vec::new();
            for field in record.fields() {
                let value = map.get(field.name).unwrap_or(&Value::Null);
                let value = to_val(value, &field.ty).map_err(|err| at(field.name, err))?;
                fields.push((field.name.to_owned(), value));
            }
            Val::Record(fields)
        }
        Type::Variant(variant) => {
            let (name, held) = match value {
                Value::String(name) => (name.as_str(), None),
                value => one(value).map(|(name, it)| (name, Some(it))).ok_or_else(wrong)?,
            };
            let case = variant.cases().find(|it| it.name == name).ok_or_else(wrong)?;
            let held = match (&case.ty, held) {
                (None, None) => None,
                (Some(ty), Some(held)) => {
                    Some(Box::new(to_val(held, ty).map_err(|err| at(name, err))?))
                }
                _ => return Err(wrong()),
            };
            Val::Variant(name.to_owned(), held)
        }
        Type::Enum(names) => {
            let name = value.as_str().filter(|name| names.names().any(|it| it == *name));
            Val::Enum(name.ok_or_else(wrong)?.to_owned())
        }
        Type::Option(_) if value.is_null() => Val::Option(None),
        Type::Option(option) => {
            let ty = option.ty();
            let some = if is_nullable(&ty) {
                one(value)
                    .filter(|(name, _)| *name == "some")
                    .map(|(_, it)| it)
                    .ok_or_else(wrong)?
            } else {
                value
            };
            Val::Option(Some(Box::new(to_val(some, &ty)?)))
        }
        Type::Result(result) => {
            let (name, held) = one(value).ok_or_else(wrong)?;
            let held = |ty: Option<Type>| match ty {
                None => Ok(None),
                Some(ty) => {
                    to_val(held, &ty).map(|it| Some(Box::new(it))).map_err(|err| at(name, err))
                }
            };
            Val::Result(match name {
                "ok" => Ok(held(result.ok())?),
                "error" => Err(held(result.err())?),
                _ => return Err(wrong()),
            })
        }
        Type::Flags(flags) => {
            let names = value.as_array().ok_or_else(wrong)?.iter();
            let known = |it: &Value| {
                it.as_str().filter(|name| flags.names().any(|it| it == *name)).map(str::to_owned)
            };
            Val::Flags(names.map(known).collect::<Option<_>>().ok_or_else(wrong)?)
        }
        Type::Own(_)
        | Type::Borrow(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext
        | Type::Map(_)
        | Type::FixedLengthList(_) => return Err(wrong()),
    })
}

/// The JSON of a value of the type.
pub fn from_val(value: &Val, ty: &Type) -> Value {
    match (value, ty) {
        (Val::Bool(value), _) => (*value).into(),
        (Val::S8(value), _) => (*value).into(),
        (Val::U8(value), _) => (*value).into(),
        (Val::S16(value), _) => (*value).into(),
        (Val::U16(value), _) => (*value).into(),
        (Val::S32(value), _) => (*value).into(),
        (Val::U32(value), _) => (*value).into(),
        (Val::S64(value), _) => (*value).into(),
        (Val::U64(value), _) => (*value).into(),
        // JSON knows neither NaN nor infinity: they are null.
        (Val::Float32(value), _) => f64::from(*value).into(),
        (Val::Float64(value), _) => (*value).into(),
        (Val::Char(value), _) => value.to_string().into(),
        (Val::String(value) | Val::Enum(value), _) => value.as_str().into(),
        (Val::List(entries), Type::List(list)) if list.ty() == Type::U8 => {
            let byte = |it: &Val| if let Val::U8(byte) = it { *byte } else { 0 };
            STANDARD.encode(entries.iter().map(byte).collect::<Vec<_>>()).into()
        }
        (Val::List(entries), Type::List(list)) => {
            let ty = list.ty();
            entries.iter().map(|it| from_val(it, &ty)).collect()
        }
        (Val::Tuple(entries), Type::Tuple(tuple)) => {
            entries.iter().zip(tuple.types()).map(|(it, ty)| from_val(it, &ty)).collect()
        }
        (Val::Record(fields), Type::Record(record)) => {
            let fields = fields.iter().zip(record.fields());
            let fields = fields.map(|((name, it), field)| (name.clone(), from_val(it, &field.ty)));
            Value::Object(fields.collect())
        }
        (Val::Variant(name, held), Type::Variant(variant)) => {
            let ty = variant.cases().find(|it| it.name == *name).and_then(|it| it.ty);
            match (held, ty) {
                (Some(held), Some(ty)) => json!({ name.as_str(): from_val(held, &ty) }),
                _ => name.as_str().into(),
            }
        }
        (Val::Option(Some(value)), Type::Option(option)) => {
            let ty = option.ty();
            let json = from_val(value, &ty);
            if is_nullable(&ty) { json!({ "some": json }) } else { json }
        }
        (Val::Result(result), Type::Result(ty)) => {
            let json = |value: &Option<Box<Val>>, ty: Option<Type>| match (value, ty) {
                (Some(value), Some(ty)) => from_val(value, &ty),
                _ => Value::Null,
            };
            match result {
                Ok(value) => json!({ "ok": json(value, ty.ok()) }),
                Err(value) => json!({ "error": json(value, ty.err()) }),
            }
        }
        (Val::Flags(names), _) => names.iter().map(String::as_str).collect(),
        // Nothing, or what `schema` has refused.
        _ => Value::Null,
    }
}

/// The one property of an object.
fn one(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_object().filter(|it| it.len() == 1)?;
    map.iter().next().map(|(name, value)| (name.as_str(), value))
}

/// A whole number, exactly: `5.0` is 5.
fn whole<T: TryFrom<i64> + TryFrom<u64>>(value: &Value) -> Option<T> {
    if let Some(integer) = value.as_i64() {
        return T::try_from(integer).ok();
    }
    if let Some(integer) = value.as_u64() {
        return T::try_from(integer).ok();
    }
    let float = value.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "the cast back tells")]
    let integer = float as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "they are equal or not")]
    let exact = integer as f64 == float;
    if exact { T::try_from(integer).ok() } else { None }
}
