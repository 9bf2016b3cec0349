import CDextABI
import Diagnostics
import Platform
import SCSIControllerDriverKit

/// The functions that the bundle's code calls.
enum HostTable {
    // SAFETY: made once, then only read.
    /// The structure, which lives as long as the process.
    nonisolated(unsafe) static let shared: UnsafePointer<nbdext_dext_host> = {
        let table = UnsafeMutablePointer<nbdext_dext_host>.allocate(capacity: 1)
        table.initialize(to: nbdext_dext_host())
        table.pointee.version = UInt32(NBDEXT_DEXT_ABI_VERSION)
        table.pointee.size = UInt32(MemoryLayout<nbdext_dext_host>.size)
        addObjects(to: table)
        addReports(to: table)
        addQueues(to: table)
        addActions(to: table)
        addSources(to: table)
        DeviceTable.addMemory(to: table)
        DeviceTable.addDMA(to: table)
        DeviceTable.addPCI(to: table)
        addServices(to: table)
        addProperties(to: table)
        addPower(to: table)
        addController(to: table)
        addTargets(to: table)
        addCompletions(to: table)
        return UnsafePointer(table)
    }()

    typealias Table = UnsafeMutablePointer<nbdext_dext_host>

    // MARK: Objects

    private static func addObjects(to table: Table) {
        table.pointee.make_object = { HostTable.makeObject($0!, $1!) }
        table.pointee.retain = { withObject($0, as: OSObject.self) { $0.retain() } }
        table.pointee.release = { withObject($0, as: OSObject.self) { $0.giveUp() } ?? false }
        table.pointee.forget = { withObject($0, as: OSObject.self) { $0.forgetSkin() } }
        table.pointee.retain_count = { withObject($0, as: OSObject.self) { Int64($0.retainCount) } ?? 0 }
        table.pointee.skin = { withObject($0, as: OSObject.self) { $0.skin.map { OpaquePointer($0) } } ?? nil }
        table.pointee.set_skin = { owner, skin in
            OpaquePointer(object(owner, as: OSObject.self)!.setSkin(UnsafeMutableRawPointer(skin!)))
        }
        table.pointee.class_name = { className(of: object($0, as: OSObject.self)!) }
    }

    private static func makeObject(_ name: UnsafePointer<CChar>, _ skin: OpaquePointer) -> OpaquePointer {
        let kind = LoadedBundle.loaded?.driver.pointee.class_kind(name) ?? NBDEXT_CLASS_UNKNOWN
        let isService = [NBDEXT_CLASS_SERVICE, NBDEXT_CLASS_USER_CLIENT, NBDEXT_CLASS_CONTROLLER].contains(kind)
        let object = isService ? BundleService(className: name) : NamedObject(className: name)
        _ = object.setSkin(UnsafeMutableRawPointer(skin))
        return handle(of: object)
    }

    /// Ends the making of an object: its skin is known, and the caller has its reference.
    static func give(
        _ object: OSObject?, _ skin: OpaquePointer?, _ result: UnsafeMutablePointer<OpaquePointer?>?,
        _ status: kern_return_t
    ) -> kern_return_t {
        guard status == kIOReturnSuccess, let object, let result else { return status }
        if let skin { _ = object.setSkin(UnsafeMutableRawPointer(skin)) }
        result.pointee = handle(of: object)
        return status
    }

    // MARK: Reports, time

    private static func addReports(to table: Table) {
        table.pointee.fault = { HostTable.report($0, text($1)) }
        table.pointee.log = { type, line in
            let mark = type.rawValue >= NBDEXT_LOG_ERROR.rawValue ? "error: " : ""
            writeDiagnostic("\(mark)\(ForeignText(text(line)).description)\n")
        }
        table.pointee.now = { mach_absolute_time() }
        table.pointee.sleep_milliseconds = { IOSleep($0) }
    }

    /// Reports a mistake that the bundle's own code has seen.
    private static func report(_ fault: nbdext_dext_fault, _ detail: String) {
        switch fault {
        case NBDEXT_FAULT_FREED_OBJECT: DriverContext.report(.overRelease, detail)
        case NBDEXT_FAULT_NO_AUXILIARY_QUEUE: DriverContext.report(.noAuxiliaryQueue, detail)
        case NBDEXT_FAULT_ASSERTION: DriverContext.report(.driverCrash, detail)
        // What macOS answers with an error only has to be told.
        default: writeDiagnostic("error: \(ForeignText(detail).description)\n")
        }
    }
}
