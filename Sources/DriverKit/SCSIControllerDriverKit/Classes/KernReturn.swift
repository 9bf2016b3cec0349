// swift-format-ignore-file: AlwaysUseLowerCamelCase, TypeNamesShouldBeCapitalized

@_exported import CParallelTasks

/// The result of a DriverKit call.
public typealias kern_return_t = Int32

// IOReturn.h: system 0x38, subsystem 0, written as the numbers that drivers compare with.

/// The call succeeded.
public let kIOReturnSuccess: kern_return_t = 0
/// A general error.
public let kIOReturnError = kern_return_t(bitPattern: 0xE000_02BC)
/// Memory could not be allocated.
public let kIOReturnNoMemory = kern_return_t(bitPattern: 0xE000_02BD)
/// A resource ran out.
public let kIOReturnNoResources = kern_return_t(bitPattern: 0xE000_02BE)
/// There is no such device.
public let kIOReturnNoDevice = kern_return_t(bitPattern: 0xE000_02C0)
/// An argument is wrong.
public let kIOReturnBadArgument = kern_return_t(bitPattern: 0xE000_02C2)
/// The device is in another client's exclusive use.
public let kIOReturnExclusiveAccess = kern_return_t(bitPattern: 0xE000_02C5)
/// The function is not supported.
public let kIOReturnUnsupported = kern_return_t(bitPattern: 0xE000_02C7)
/// The device is not ready.
public let kIOReturnNotReady = kern_return_t(bitPattern: 0xE000_02D8)
/// The time is up.
public let kIOReturnTimeout = kern_return_t(bitPattern: 0xE000_02D6)
/// An IOService or a property was not found.
public let kIOReturnNotFound = kern_return_t(bitPattern: 0xE000_02F0)
/// The operation is not permitted now.
public let kIOReturnNotPermitted = kern_return_t(bitPattern: 0xE000_02E2)
/// The request was aborted.
public let kIOReturnAborted = kern_return_t(bitPattern: 0xE000_02EB)

/// A result as the headers write it: "0xe00002c7".
package func hexText(_ status: kern_return_t) -> String { "0x\(String(UInt32(bitPattern: status), radix: 16))" }
