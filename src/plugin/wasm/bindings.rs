//! What the contract, plugins/kitfox.wit, is in Rust.

wasmtime::component::bindgen!({
    path: "plugins/kitfox.wit",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
});

pub use self::kitfox::plugin::host;
