//! A WIT package as what matters to components built from it: names, types and signatures, but no docs.

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::{
    Function, FunctionKind, Handle, InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId, WorldItem, WorldKey,
};

/// A package.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    pub(crate) worlds: BTreeMap<String, World>,
}

/// Its version.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Version {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) patch: u64,
}

/// One interface.
pub(crate) struct Interface {
    pub(crate) types: BTreeMap<String, Definition>,
    /// Name and signature.
    pub(crate) functions: BTreeMap<String, String>,
    /// Whether some world exports it: plugins implement it. Else the host does.
    pub(crate) is_exported: bool,
}

/// A type with a name.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Definition {
    /// `record`, `variant`, and so on.
    pub(crate) kind: String,
    /// What it consists of, in order: fields, cases, flags. Of an alias, what it stands for.
    pub(crate) members: Vec<Member>,
}

/// A field, case or flag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Its type; empty where it has none.
    pub(crate) ty: String,
}

/// A world: the names of what it joins. A function has its signature with it.
pub(crate) struct World {
    pub(crate) imports: BTreeSet<String>,
    pub(crate) exports: BTreeSet<String>,
}

impl Version {
    /// Whether a host of one serves plugins of the other: the same major version, before 1.0 the same minor one.
    pub(crate) fn is_of_line(self, other: Self) -> bool {
        self.major == other.major && (self.major > 0 || self.minor == other.minor)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Package {
    /// # Errors
    /// What does not parse.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut resolve = Resolve::default();
        let id = resolve.push_source("stage.wit", text).map_err(|error| format!("{error:#}"))?;
        let package = &resolve.packages[id];
        let name = format!("{}:{}", package.name.namespace, package.name.name);
        let found = package.name.version.as_ref().ok_or_else(|| format!("package {name} has no version"))?;
        let version = Version { major: found.major, minor: found.minor, patch: found.patch };
        let shapes = Shapes { resolve: &resolve, package: id };
        let worlds: BTreeMap<_, _> =
            package.worlds.iter().map(|(name, &id)| (name.clone(), shapes.world(id))).collect();
        let is_exported = |name: &String| worlds.values().any(|world: &World| world.exports.contains(name));
        let interfaces = package.interfaces.iter();
        let interfaces =
            interfaces.map(|(name, &id)| (name.clone(), shapes.interface(id, is_exported(name)))).collect();
        Ok(Self { name, version, interfaces, worlds })
    }
}

struct Shapes<'a> {
    resolve: &'a Resolve,
    package: PackageId,
}

impl Shapes<'_> {
    fn world(&self, id: wit_parser::WorldId) -> World {
        let world = &self.resolve.worlds[id];
        let names = |items: &wit_parser::IndexMap<WorldKey, WorldItem>| {
            items.iter().map(|(key, item)| self.item(key, item)).collect()
        };
        World { imports: names(&world.imports), exports: names(&world.exports) }
    }

    fn item(&self, key: &WorldKey, item: &WorldItem) -> String {
        match (key, item) {
            (WorldKey::Interface(id), _) => self.interface_name(*id),
            (WorldKey::Name(name), WorldItem::Function(function)) => format!("{name}: {}", self.function(function)),
            (WorldKey::Name(name), _) => name.clone(),
        }
    }

    /// With its package, if that is another one.
    fn interface_name(&self, id: InterfaceId) -> String {
        let interface = &self.resolve.interfaces[id];
        let name = interface.name.clone().unwrap_or_else(|| "inline".to_owned());
        match interface.package {
            Some(package) if package != self.package => format!("{}/{name}", self.resolve.packages[package].name),
            _ => name,
        }
    }

    fn interface(&self, id: InterfaceId, is_exported: bool) -> Interface {
        let interface = &self.resolve.interfaces[id];
        let types = interface.types.iter().map(|(name, &id)| (name.clone(), self.definition(id))).collect();
        let functions = interface.functions.iter().map(|(name, function)| (name.clone(), self.function(function)));
        Interface { types, functions: functions.collect(), is_exported }
    }

    fn function(&self, function: &Function) -> String {
        let kind = match function.kind {
            FunctionKind::Freestanding | FunctionKind::Method(_) => "func",
            FunctionKind::Static(_) => "static func",
            FunctionKind::Constructor(_) => "constructor",
            _ => "async func",
        };
        let params: Vec<_> =
            function.params.iter().map(|param| format!("{}: {}", param.name, self.name(&param.ty))).collect();
        let result = function.result.as_ref().map(|ty| format!(" -> {}", self.name(ty))).unwrap_or_default();
        format!("{kind}({}){result}", params.join(", "))
    }

    fn definition(&self, id: TypeId) -> Definition {
        let kind = &self.resolve.types[id].kind;
        let member = |name: &String, ty: Option<&Type>| Member {
            name: name.clone(),
            ty: ty.map(|ty| self.name(ty)).unwrap_or_default(),
        };
        let members = match kind {
            TypeDefKind::Record(record) => {
                record.fields.iter().map(|field| member(&field.name, Some(&field.ty))).collect()
            }
            TypeDefKind::Variant(variant) => {
                variant.cases.iter().map(|case| member(&case.name, case.ty.as_ref())).collect()
            }
            TypeDefKind::Enum(enumeration) => enumeration.cases.iter().map(|case| member(&case.name, None)).collect(),
            TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| member(&flag.name, None)).collect(),
            TypeDefKind::Resource => Vec::new(),
            other => vec![Member { name: String::new(), ty: self.unnamed(other) }],
        };
        Definition { kind: kind.as_str().to_owned(), members }
    }

    /// A type where it is used: by its name if it has one, which stands for the same everywhere in the package.
    fn name(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
        let definition = &self.resolve.types[*id];
        match (&definition.name, definition.owner) {
            (Some(name), wit_parser::TypeOwner::Interface(owner)) => match self.origin(*id) {
                Some(origin) => self.name(&Type::Id(origin)),
                None => format!("{}.{name}", self.interface_name(owner)),
            },
            (Some(name), _) => name.clone(),
            (None, _) => self.unnamed(&definition.kind),
        }
    }

    /// What a `use` brought in, in the interface it comes from.
    fn origin(&self, id: TypeId) -> Option<TypeId> {
        let definition = &self.resolve.types[id];
        let TypeDefKind::Type(Type::Id(target)) = definition.kind else { return None };
        let of_other = self.resolve.types[target].owner != definition.owner;
        (of_other && self.resolve.types[target].name.is_some()).then_some(target)
    }

    fn unnamed(&self, kind: &TypeDefKind) -> String {
        let or_none = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| self.name(ty));
        match kind {
            TypeDefKind::List(ty) => format!("list<{}>", self.name(ty)),
            TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", self.name(ty)),
            TypeDefKind::Map(key, value) => format!("map<{}, {}>", self.name(key), self.name(value)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.name(ty)),
            TypeDefKind::Result(result) => format!("result<{}, {}>", or_none(&result.ok), or_none(&result.err)),
            TypeDefKind::Tuple(tuple) => {
                format!("tuple<{}>", tuple.types.iter().map(|ty| self.name(ty)).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Future(ty) => format!("future<{}>", or_none(ty)),
            TypeDefKind::Stream(ty) => format!("stream<{}>", or_none(ty)),
            TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", self.name(&Type::Id(*id))),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.name(&Type::Id(*id))),
            TypeDefKind::Type(ty) => self.name(ty),
            other => other.as_str().to_owned(),
        }
    }
}
