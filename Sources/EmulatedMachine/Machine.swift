import ArrayStore
import BlockStorage
import BufferCache
import Diagnostics
import DriverHost
import HardwareBus
import ParallelInterface
import Platform
import RAID
import RAIDController
import SCSIArchitectureModel
import SCSIControllerDriverKit

/// The whole emulated machine, from member files to block devices: arrays behind one card, its driver, the kernel
/// half, and a disk and a block device for each target.
///
/// Threads: one control thread.
package final class Machine: @unchecked Sendable {
    // SAFETY: what `init` sets does not change; `powerCut` touches nothing else.

    /// Addresses for payloads: eight times what is in use at most (`DataArena`); pages that are never touched cost nothing.
    private static let arenaByteCountMax = 36 << 30
    /// What a server for a few clients gets along with.
    private static let arenaByteCountMin = 1 << 30
    /// Task slots have the first windows of the DART; the driver's rings claim some of the others.
    private static let dartWindowCount = 4096 + 64
    private static let taskWindowCount = 4096

    /// The raw device of each array, in order, or of each target of a driver that brings its own: /dev/rdiskN on macOS.
    package private(set) var devices: [BlockStorageDevice] = []
    /// The buffered device of each array, /dev/diskN on macOS; none unless the configuration asks for them.
    package private(set) var bufferedDevices: [BufferedBlockDevice] = []
    /// What is behind each device.
    package private(set) var addresses: [UnitAddress] = []
    package let controller: ParallelController
    /// What the driver drives; nil when it brings its own targets.
    let card: RAIDController?
    private let host: any DriverHost
    let arrays: [OpenedArray]
    private let targets: TargetPublisher
    private var maintenance: [MaintenanceThread] = []
    private var bitmapThreads: [BitmapThread] = []

    /// The process that the driver is at the moment, if it is one.
    package var driverProcess: Int32? { (host as? ProcessDextHost)?.process }

    /// Asks the driver for a task management function.
    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome { host.perform(function) }

    /// Opens the arrays and starts everything.
    package init(_ configuration: MachineConfiguration) throws {
        let readOnly = configuration.readOnly
        let force = configuration.force
        try Self.check(configuration.directories)
        arrays = try configuration.directories.map { directory in
            try ArrayStore.open(directory: directory, readOnly: readOnly, force: force)
        }
        try Self.checkNames(arrays)
        if !readOnly { for array in arrays { try array.markDirty() } }
        let arena = try Self.makeArena()
        let dart = DART(windowCount: Self.dartWindowCount, reservedCount: Self.taskWindowCount)
        card =
            arrays.isEmpty
            ? nil
            : RAIDController(
                arrays: arrays.map { ArrayTarget(array: $0, isRemovable: configuration.disksAreRemovable) },
                unitsPerTarget: configuration.sharesTarget ? arrays.count : 1, dart: dart, engine: configuration.engine,
                laneCount: ParallelController.laneCountMax, writeCacheByteCount: configuration.writeCacheByteCount)
        let function = card ?? SoftwareFunction(dart: dart)
        let targets = TargetPublisher(
            count: arrays.isEmpty ? nil : arrays.count, timeouts: configuration.timeouts, log: configuration.log)
        self.targets = targets
        host = try configuration.makeHost(card: function, arena: arena)
        controller = ParallelController(
            host: host, card: function, arena: arena,
            options: configuration.kernelOptions, trace: configuration.trace
        ) { targets.publish($0, $1) }
        targets.controller = controller
        do {
            try controller.start()
            for (index, disk) in try targets.wait().enumerated() {
                let array = arrays.isEmpty ? nil : arrays[index]
                if let array, let card, !card.hasBeenAsked(array: index) { throw Self.isNotOf(array, disk) }
                addresses.append(disk.address)
                devices.append(
                    try BlockStorageDevice(
                        disk: disk, transport: controller, name: array?.name ?? Self.name(of: disk.address),
                        description: array.map { Self.describe($0) } ?? Self.describe(disk),
                        alignsStages: configuration.alignsStages))
            }
            if configuration.bufferCacheByteCount > 0 {
                bufferedDevices = try devices.map {
                    try BufferedBlockDevice(
                        over: $0, name: "\($0.info.name).buffered", cacheByteCount: configuration.bufferCacheByteCount)
                }
            }
            for target in arrays.indices {
                if let thread = try BitmapThread(card: card!, target: target, controller: controller) {
                    bitmapThreads.append(thread)
                }
            }
            if let card, !readOnly {
                for (index, array) in arrays.enumerated() where array.geometry.level == .raid5 {
                    maintenance.append(try MaintenanceThread(card: card, target: index, controller: controller))
                }
            }
        } catch {
            for thread in maintenance { thread.stop() }
            for thread in bitmapThreads { thread.stop() }
            controller.stop()
            if !readOnly { for array in arrays { try? array.markClean() } }
            throw error
        }
    }

    /// Flushes every array, stops the driver, and marks the arrays clean. No client is left.
    package func stop() throws {
        for thread in maintenance { thread.stop() }
        maintenance = []
        for device in bufferedDevices { try flush(device) }
        for device in devices { try flush(device) }
        for thread in bitmapThreads { thread.stop() }
        bitmapThreads = []
        controller.stop()
        for array in arrays where !array.isReadOnly { try array.markClean() }
    }

    /// What a loss of power of the emulated machine would destroy is destroyed: the caches of the buffered devices and
    /// the card's write cache. Any thread, also while clients are served.
    /// - Returns: what was lost, for people.
    package func powerCut() -> String {
        let buffered = bufferedDevices.reduce(0) { $0 + $1.powerCut() }
        let cached = card?.powerCut() ?? 0
        return "power cut: \(buffered) bytes were lost in buffer caches, \(cached) in the card's write cache"
    }

    /// What the driver's queues do, which tasks it has, and what writes cost so far. Any thread.
    package func dump() -> String {
        var text = controller.dump()
        for (target, array) in arrays.enumerated() where array.geometry.level == .raid5 {
            guard let writes = card?.writeStatistics(array: target) else { continue }
            text +=
                "array \(array.name): \(writes.fullStripeWrites) full-stripe writes, "
                + "\(writes.readModifyWrites) read-modify-writes, \(writes.reconstructWrites) reconstruct-writes, "
                + "\(devices[target].movedCutCount) cuts moved to the end of a stripe\n"
        }
        return text
    }

    private func flush(_ device: any BlockService) throws {
        guard BlockingClient.execute(BlockRequest(operation: .flush, tag: 0), on: device) == .none else {
            throw ArrayStoreError(
                arrays.isEmpty
                    ? "\(device.info.name) could not be flushed"
                    : "the array \(device.info.name) could not be flushed; it stays dirty, and is checked when it is "
                        + "served again")
        }
    }

    /// Before anything is opened: an array that is opened twice would seem to be another server's.
    private static func check(_ directories: [String]) throws {
        let largest = RAIDController.arrayCountMax
        guard directories.count <= largest else {
            throw ArrayStoreError("a server has at most \(largest) arrays; serve the others with another one")
        }
        for (index, directory) in directories.enumerated()
        where directories[..<index].contains(where: { isSame($0, directory) }) {
            throw ArrayStoreError("\(directory) is named twice; name each array's directory once")
        }
    }

    /// An arena as large as the system allows (RLIMIT_AS).
    private static func makeArena() throws(OSError) -> DataArena {
        var byteCount = arenaByteCountMax
        while true {
            do throws(OSError) { return try DataArena(byteCount: byteCount) } catch {
                byteCount /= 2
                if byteCount < arenaByteCountMin { throw error }
            }
        }
    }

    private static func checkNames(_ arrays: [OpenedArray]) throws {
        for (index, array) in arrays.enumerated() {
            if let other = arrays[..<index].first(where: { $0.name == array.name }) {
                throw ArrayStoreError(
                    "\(other.place) and \(array.place) are both named \(array.name); exports need "
                        + "different names: create one of them with another --name")
            }
        }
    }

    /// The driver answers for an array's disk by itself: what it has would be exported under the array's name.
    private static func isNotOf(_ array: OpenedArray, _ disk: BlockCommandsDevice) -> ArrayStoreError {
        ArrayStoreError(
            "the driver brings a disk of its own (\(describe(disk)) as \(disk.address)) and does not use the card, so the "
                + "array \(array.name) would not be what is served; serve this driver without an array")
    }

    private static func name(of address: UnitAddress) -> String {
        "target-\(address.targetID)" + (address.logicalUnit == 0 ? "" : "-lun-\(address.logicalUnit)")
    }

    private static func describe(_ disk: BlockCommandsDevice) -> String {
        disk.inquiry.map { "\($0.vendor) \($0.product)" } ?? disk.address.description
    }

    private static func describe(_ array: OpenedArray) -> String {
        let geometry = array.geometry
        let chunk = geometry.chunkByteCount
        let size = chunk >= 1 << 20 && chunk % (1 << 20) == 0 ? "\(chunk >> 20) MiB" : "\(chunk >> 10) KiB"
        return "RAID \(geometry.level.rawValue), \(geometry.memberCount) members, \(size) chunks"
    }
}
