import CDextABI
import Diagnostics
import SCSIControllerDriverKit

// Handles are the addresses of the kit's objects. A handle is valid as long as its object has a skin or somebody in
// Swift refers to it.

/// The handle of an object.
func handle(of object: OSObject) -> OpaquePointer { OpaquePointer(Unmanaged.passUnretained(object).toOpaque()) }

/// The object of a handle; nil for NULL, and for an object of another class.
func object<Object: OSObject>(_ handle: OpaquePointer?, as type: Object.Type = Object.self) -> Object? {
    handle.flatMap { Unmanaged<OSObject>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue() as? Object }
}

/// Uses the object of a handle without counting a reference. The caller's handle keeps it.
@inline(__always)
func withObject<Object: OSObject, Result>(
    _ handle: OpaquePointer?, as type: Object.Type = Object.self, _ body: (Object) -> Result
) -> Result? {
    // SAFETY: the bundle passes handles of the class that the function is for: its own classes are checked by the
    // compiler.
    handle.map { Unmanaged<Object>.fromOpaque(UnsafeRawPointer($0))._withUnsafeGuaranteedRef(body) }
}

/// Gives a reference back, and ends the C++ object if it was the last.
func giveBack(_ object: OSObject) {
    guard object.giveUp(), let skin = object.skin else { return }
    LoadedBundle.loaded?.driver.pointee.end_skin(OpaquePointer(skin))
}

/// The text of a C function's argument.
func text(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

/// A block of C that the bundle has handed over. It is ended with this object, whether or not it was run.
final class HandedBlock: Sendable {
    // SAFETY: the bundle's; used by the thread that runs it, once.
    private nonisolated(unsafe) let block: OpaquePointer

    /// Nil for NULL.
    init?(_ block: OpaquePointer?) {
        guard let block else { return nil }
        self.block = block
    }

    deinit { LoadedBundle.loaded?.driver.pointee.end_block(block) }

    /// A closure that runs the block; nil without one.
    static func closure(_ block: HandedBlock?) -> (@Sendable () -> Void)? {
        guard let block else { return nil }
        return { block.run() }
    }

    func run() { LoadedBundle.loaded?.driver.pointee.run_block(block) }
}

/// The target of an action of the driver's own, retained as long as this exists.
final class ActionTarget: Sendable {
    private let target: OSObject

    init(_ target: OSObject) {
        target.retain()
        self.target = target
    }

    deinit { giveBack(target) }
}

/// A static C string, from a literal.
func cText(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// The C++ class for an object that the host has made.
func className(of object: OSObject) -> UnsafePointer<CChar> {
    switch object {
    case let object as NamedObject: object.className
    case let service as BundleService: service.className
    case let driver as BundleDriver: driver.className
    case is IOPCIDevice: cText("IOPCIDevice")
    case is IODispatchQueue: cText("IODispatchQueue")
    case is OSAction: cText("OSAction")
    case is IOBufferMemoryDescriptor: cText("IOBufferMemoryDescriptor")
    case is IOMemoryMap: cText("IOMemoryMap")
    case is IODMACommand: cText("IODMACommand")
    case is IOInterruptDispatchSource: cText("IOInterruptDispatchSource")
    case is IOTimerDispatchSource: cText("IOTimerDispatchSource")
    case is IOService: cText("IOService")
    default: cText("OSObject")
    }
}
