import CDextABI
import Glibc
import SCSIControllerDriverKit

/// A driver that was written in C++: the library of its bundle, and the functions by which it is called.
///
/// A process has one bundle. Its functions are called by C code without a context of their own, so the bundle is found
/// by a global variable.
package final class LoadedBundle: Sendable {
    // SAFETY: the structure is the library's, which is never unloaded.
    /// The functions of the driver.
    nonisolated(unsafe) let driver: UnsafePointer<nbdext_dext_driver>
    /// The library's path.
    package let path: String

    // SAFETY: set once, by `load`, before any code of the bundle can run on another thread.
    /// The bundle of this process.
    private(set) nonisolated(unsafe) static var loaded: LoadedBundle?

    private init(driver: UnsafePointer<nbdext_dext_driver>, path: String) {
        self.driver = driver
        self.path = path
    }

    /// Loads the library of a bundle. Its static initialisers run.
    /// - Throws: a sentence that says what to do.
    package static func load(path: String) throws(DriverStartError) -> LoadedBundle {
        if let loaded { return loaded }
        guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            let reason = dlerror().map { String(cString: $0) } ?? "unknown reason"
            throw DriverStartError(
                call: "the bundle's library \(path)",
                reason: "cannot be loaded (\(reason)); build the bundle again with 'nbdext dext build'")
        }
        guard let symbol = dlsym(library, NBDEXT_DEXT_OPEN_SYMBOL) else {
            throw DriverStartError(
                call: "the bundle's library \(path)",
                reason: "has no \(NBDEXT_DEXT_OPEN_SYMBOL); build it with 'nbdext dext build'")
        }
        typealias Open = @convention(c) (UnsafePointer<nbdext_dext_host>?) -> UnsafePointer<nbdext_dext_driver>?
        let open = unsafeBitCast(symbol, to: Open.self)
        let version = UInt32(NBDEXT_DEXT_ABI_VERSION)
        guard let driver = open(HostTable.shared), driver.pointee.version == version,
            driver.pointee.size >= UInt32(MemoryLayout<nbdext_dext_driver>.size)
        else {
            throw DriverStartError(
                call: "the bundle's library \(path)",
                reason:
                    "was built for another version of the interface between nbdext and bundles than \(version), this "
                    + "program's; build the bundle again with this nbdext's 'nbdext dext build'")
        }
        let bundle = LoadedBundle(driver: driver, path: path)
        loaded = bundle
        return bundle
    }

    /// What a class of the bundle can do.
    func kind(ofClass name: String) -> nbdext_dext_class_kind { driver.pointee.class_kind(name) }

    /// Makes the C++ object of an object, and initialises it.
    /// - Throws: the reason why there is none.
    func makeSkin(ofClass name: String, for object: OSObject) throws(DriverStartError) -> OpaquePointer {
        if let reason = driver.pointee.why_abstract(name) {
            throw DriverStartError(call: "the class \(name)", reason: "cannot be used: \(String(cString: reason))")
        }
        guard let skin = driver.pointee.make_skin(name, handle(of: object)) else {
            throw DriverStartError(
                call: "the class \(name)", reason: "is not in the bundle; correct IOUserClass in Info.plist")
        }
        _ = object.setSkin(UnsafeMutableRawPointer(skin))
        guard driver.pointee.`init`(skin) else {
            throw DriverStartError(call: "\(name)::init", reason: "returned false")
        }
        return skin
    }
}
