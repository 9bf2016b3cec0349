import ArrayEngine
import ArrayStore
import BlockStorage
import BufferCache
import Diagnostics
import DriverHost
import HBAProfiles
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

    /// The address space for payloads, bytes: eight times the most that is in use (`DataArena`). Pages that are never
    /// touched cost nothing.
    private static let arenaByteCountMax = 36 << 30
    /// The least address space for payloads, bytes: enough for a few clients.
    private static let arenaByteCountMin = 1 << 30
    /// The DART's windows. The first are for task slots; the driver's rings claim some of the others.
    private static let dartWindowCount = 4096 + 64
    private static let taskWindowCount = 4096

    /// The raw device of each array, in order, or of each target of a driver that brings its own: /dev/rdiskN on macOS.
    package private(set) var devices: [BlockStorageDevice] = []
    /// The buffered device of each array, /dev/diskN on macOS; none unless the configuration asks for them.
    package private(set) var bufferedDevices: [BufferedBlockDevice] = []
    /// The address of each device's disk, in the order of `devices`.
    package private(set) var addresses: [UnitAddress] = []
    /// The HBA's profile.
    package let profile: HBAProfile
    /// The HBA's kernel half.
    package let controller: ParallelController
    /// The card that the driver drives; nil when the driver brings its own targets.
    let card: RAIDController?
    /// What is behind the card.
    var engine: ArrayEngine? { card?.engine }
    private let host: any DriverHost
    let arrays: [OpenedArray]
    private let targets: TargetPublisher
    /// Whether the card or the kernel has a cache, and so may hold data that the members do not have yet.
    private let hasCaches: Bool
    private var maintenance: [MaintenanceThread] = []
    private var bitmapThreads: [BitmapThread] = []
    private var watches: [MemberWatch] = []

    /// The ID of the driver's current process; nil when the driver runs in this process.
    package var driverProcess: Int32? { (host as? ProcessDextHost)?.process }

    /// Asks the driver for a task management function, and waits for the answer.
    package func perform(_ function: TaskManagementFunction) -> TaskManagementOutcome { host.perform(function) }

    /// Opens a user client of the driver as a program does, calls it, and closes it.
    package func tryUserClient() -> UserClientOutcome { host.tryUserClient() }

    /// Opens the arrays and starts everything.
    /// - Throws: when a step fails or the start is cancelled. Everything is then as before, except that arrays whose
    ///   parity was being checked stay dirty.
    package init(_ configuration: MachineConfiguration) throws {
        let startUp = configuration.startUp
        try Self.check(configuration.directories)
        let names = configuration.names
        let arrays = try configuration.directories.enumerated().map { index, directory in
            startUp.begin("opening the array in \(directory)")
            return try ArrayStore.open(
                directory: directory, readOnly: configuration.readOnly, force: configuration.force,
                name: index < names.count ? names[index] : nil,
                lostSeconds: configuration.lostSeconds, in: .system(startingFor: startUp))
        }
        self.arrays = arrays
        profile = configuration.profile
        hasCaches = configuration.writeCacheByteCount > 0 || configuration.bufferCacheByteCount > 0
        try Self.checkNames(arrays, areBuffered: configuration.bufferCacheByteCount > 0)
        startUp.begin("starting the driver")
        try OpenedArray.markDirty(arrays.filter { !$0.isReadOnly })
        do {
            let arena = try Self.makeArena()
            let dart = DART(windowCount: Self.dartWindowCount, reservedCount: Self.taskWindowCount, taskMemory: arena)
            let engine =
                try arrays.isEmpty
                ? nil
                : ArrayEngine(
                    arrays: arrays, memberEngine: configuration.engine,
                    laneCount: ParallelController.laneCount(arrayCount: arrays.count),
                    requestCapacity: RAIDController.requestCapacity)
            card = engine.map {
                RAIDController(
                    engine: $0, unitsPerTarget: configuration.sharesTarget ? arrays.count : 1, dart: dart,
                    disksAreRemovable: configuration.disksAreRemovable,
                    writeCacheByteCount: configuration.writeCacheByteCount)
            }
            let function = card ?? SoftwareFunction(dart: dart)
            let targets = TargetPublisher(
                count: arrays.isEmpty ? nil : arrays.count, timeouts: configuration.timeouts, log: configuration.log)
            self.targets = targets
            host = try configuration.makeHost(card: function, arena: arena)
            controller = ParallelController(
                host: host, card: function, arena: arena, arrayCount: arrays.count,
                options: configuration.kernelOptions, trace: configuration.trace
            ) { [weak targets] in
                targets?.publish($0, $1) ?? false
            } mediaChanged: { [weak targets] in
                targets?.mediaChanged()
            }
            targets.controller = controller
        } catch {
            Self.markClean(arrays)
            throw error
        }
        do { try start(configuration) } catch {
            abandon()
            // Its actions hold the controller, and the arrays hold it.
            _ = startUp.finish()
            Self.markClean(arrays)
            throw error
        }
    }

    deinit { controller.detachOwners() }

    private func start(_ configuration: MachineConfiguration) throws {
        let startUp = configuration.startUp
        startUp.whenCancelled { [targets, controller] in
            controller.cancelStart()
            targets.cancel()
        }
        try controller.start()
        startUp.begin("waiting for the driver to create its targets")
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
                    over: $0, name: Self.bufferedName($0.info.name),
                    cacheByteCount: configuration.bufferCacheByteCount)
            }
        }
        // What a cache holds of a former medium is void, as much as after a loss of power.
        targets.mediaWereProbed.withLock { [bufferedDevices] in
            $0 = { for device in bufferedDevices { _ = device.powerCut() } }
        }
        if let card { try lookAfter(card.engine.arrays, behind: card) }
        guard startUp.finish() else { throw ArrayStoreError("the start was ended", .cancelled) }
        for array in arrays { array.beginWaiting() }
    }

    /// Starts the threads that look after the arrays.
    private func lookAfter(_ arrays: [LiveArray], behind card: RAIDController) throws {
        for array in arrays {
            if let thread = try BitmapThread(array, behind: card, controller: controller) {
                bitmapThreads.append(thread)
            }
        }
        for array in arrays { watches.append(try MemberWatch(array)) }
        for array in arrays where array.takesMembers {
            maintenance.append(try MaintenanceThread(array, behind: card, controller: controller))
        }
    }

    /// Marks the arrays clean after a failed start, which has written nothing to them.
    private static func markClean(_ arrays: [OpenedArray]) {
        for array in arrays where !array.isReadOnly { try? array.markClean() }
    }

    /// Stops waiting for lost members. Held requests fail, so that clients get answers. Any thread.
    package func endWaiting() { for array in arrays { array.endWaiting() } }

    /// Stops the driver and all threads that look after the arrays. Nothing is flushed, and the arrays stay dirty.
    package func abandon() {
        endWaiting()
        for watch in watches { watch.stop() }
        watches = []
        for thread in maintenance { thread.stop() }
        maintenance = []
        for thread in bitmapThreads { thread.stop() }
        bitmapThreads = []
        controller.stop()
    }

    /// Flushes every array, stops the driver, and marks the arrays clean. Call it when no client is left.
    /// - Throws: one of the failures, after everything else is done. An array that could not be flushed stays dirty.
    package func stop() throws {
        endWaiting()
        for watch in watches { watch.stop() }
        watches = []
        for thread in maintenance { thread.stop() }
        maintenance = []
        var failures: [Int: any Error] = [:]
        for devices: [any BlockService] in [bufferedDevices, devices] {
            for (index, device) in devices.enumerated() {
                do { try flush(device) } catch { failures[index] = error }
            }
        }
        abandon()
        for (index, array) in arrays.enumerated() where !array.isReadOnly {
            do {
                if failures[index] != nil {
                    guard mayFlushWithoutDriver else { continue }
                    try array.flushMembers()
                    writeMessage("the members of \(array.name) were flushed without the driver", level: .warning)
                    failures[index] = nil
                }
                try array.close()
            } catch { failures[index] = failures[index] ?? error }
        }
        if let failure = failures.first?.value { throw failure }
    }

    /// Whether nothing but the members' own caches holds data after the driver has ended, and nothing is being written.
    private var mayFlushWithoutDriver: Bool { !hasCaches && !controller.hasTasks }

    /// Ends a driver that delays a stop. Its tasks fail, and it is not started again. A driver is left alone while its
    /// tasks progress, and while it only waits for its device. Called on one thread, ten times a second until the stop
    /// ends.
    package func endWaitingForDriver() { controller.endWaitingForDriver() }

    /// Destroys what a loss of power would destroy in the emulated machine: the caches of the buffered devices and the
    /// card's write cache. Any thread, also while clients are served.
    /// - Returns: what was lost, for people.
    package func powerCut() -> String {
        let buffered = bufferedDevices.reduce(0) { $0 + $1.powerCut() }
        let cached = card?.powerCut() ?? 0
        return "power cut: \(buffered) bytes were lost in buffer caches, \(cached) in the card's write cache"
    }

    /// Describes the driver's queues, its tasks, and how parity was written so far. Any thread.
    package func dump() -> String {
        var text = controller.dump()
        for (target, array) in arrays.enumerated() where array.geometry.level == .raid5 {
            guard let writes = engine?.arrays[target].writeStatistics else { continue }
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

    /// Checks the directories before anything is opened: an array that is opened twice would seem to be another
    /// server's.
    private static func check(_ directories: [String]) throws {
        let largest = RAIDController.arrayCountMax
        guard directories.count <= largest else {
            throw ArrayStoreError("a server has at most \(largest) arrays; serve the others with another one")
        }
        for (index, directory) in directories.enumerated()
        where directories[..<index].contains(where: { Directory.isSame($0, directory) }) {
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

    private static func checkNames(_ arrays: [OpenedArray], areBuffered: Bool) throws {
        var places: [String: String] = [:]
        for array in arrays {
            for name in [array.name] + (areBuffered ? [bufferedName(array.name)] : []) {
                guard let other = places.updateValue(array.directory, forKey: name) else { continue }
                throw ArrayStoreError(
                    "\(other) and \(array.directory) would both be exported as \(name); use --name for each directory, "
                        + "in their order, or give one another name: nbdext rename \(array.directory) NAME")
            }
        }
    }

    /// The error for a driver that presents a disk of its own in an array's place: its disk would be exported under the
    /// array's name.
    private static func isNotOf(_ array: OpenedArray, _ disk: BlockCommandsDevice) -> ArrayStoreError {
        ArrayStoreError(
            "the driver brings a disk of its own (\(describe(disk)) as \(disk.address)) and does not use the card, so the "
                + "array \(array.name) would not be served; serve this driver without an array")
    }

    private static func bufferedName(_ name: String) -> String { "\(name).buffered" }

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
