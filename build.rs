//! Tells the library which libssh it is linked with.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(bundled_libssh)");
    // libssh-rs-sys names its build folder if, and only if, it has compiled the libssh that it bundles.
    if std::env::var_os("DEP_LIBSSH_ROOT").is_some() {
        println!("cargo::rustc-cfg=bundled_libssh");
    }
}
