import ArrayStore
import BlockStorage
import DriverHost
import HardwareBus
import Members
import ParallelInterface
import Platform
import RAIDController
import RAIDDriver
import SCSIArchitectureModel

/// The whole emulated machine, from member files to block devices: arrays behind one card, its driver, the kernel
/// half, and a disk and a block device for each target.
///
/// Threads: one control thread.
final class ServerStack {
    /// Virtual memory for payloads; pages that are never touched cost nothing.
    private static let arenaByteCount = 4 << 30
    /// Task slots have the first windows of the DART; the driver's rings claim some of the others.
    private static let dartWindowCount = 4096 + 64
    private static let taskWindowCount = 4096

    /// One for each array, in order.
    private(set) var devices: [BlockStorageDevice] = []
    private let arrays: [OpenedArray]
    private let controller: ParallelController
    private let targets: TargetPublisher

    init(directories: [String], mode: DriverMode, readOnly: Bool, force: Bool, engine: MemberEngineKind) throws {
        arrays = try directories.map { directory in
            try ArrayStore.open(directory: directory, readOnly: readOnly, force: force) { message in
                writeDiagnostic("nbdext: \(message)\n")
            }
        }
        try Self.checkNames(arrays)
        if !readOnly { for array in arrays { try array.markDirty() } }
        let arena = try DataArena(byteCount: Self.arenaByteCount)
        let dart = DART(windowCount: Self.dartWindowCount, reservedCount: Self.taskWindowCount)
        let card = RAIDController(
            arrays: arrays.map { ArrayTarget(array: $0) }, dart: dart, engine: engine,
            laneCount: ParallelController.laneCountMax)
        let host: any DriverHost =
            mode == .kext
            ? KextHost(driverClass: RAIDKext.self, function: card)
            : InProcessDextHost(mode: mode, driverClass: RAIDDriver.self, function: card)
        let targets = TargetPublisher(count: arrays.count)
        self.targets = targets
        controller = ParallelController(host: host, card: card, arena: arena) { targets.publish($0) }
        targets.controller = controller
        try controller.start()
        let disks = try targets.wait()
        for (disk, array) in zip(disks, arrays) {
            devices.append(
                try BlockStorageDevice(
                    disk: disk, transport: controller, name: array.name, description: Self.describe(array)))
        }
    }

    /// Flushes every array, stops the driver, and marks the arrays clean. No client is left.
    func stop() throws {
        for device in devices { try flush(device) }
        controller.stop()
        for array in arrays where !array.isReadOnly { try array.markClean() }
    }

    private func flush(_ device: BlockStorageDevice) throws {
        let receiver = FlushReceiver()
        let lane = try device.makeLane(receiver: receiver)
        let request = BlockRequest(operation: .flush, tag: 0)
        withUnsafePointer(to: request) { lane.submit(UnsafeBufferPointer(start: $0, count: 1)) }
        while lane.hasOutstandingWork { lane.wait(orReadable: -1) }
        receiver.done.wait()
        lane.close()
        guard receiver.succeeded else {
            throw ArrayStoreError(
                "the array \(device.info.name) could not be flushed; it stays dirty, and is checked when "
                    + "it is served again")
        }
    }

    private static func checkNames(_ arrays: [OpenedArray]) throws {
        for (index, array) in arrays.enumerated() {
            if let other = arrays[..<index].first(where: { $0.name == array.name }) {
                throw ArrayStoreError(
                    "\(other.directory) and \(array.directory) are both named \(array.name); exports need "
                        + "different names: create one of them with another --name")
            }
        }
    }

    private static func describe(_ array: OpenedArray) -> String {
        let geometry = array.geometry
        return "RAID \(geometry.level.rawValue), \(geometry.memberCount) members, "
            + "\(ByteSize(byteCount: geometry.chunkByteCount)) chunks"
    }
}

/// Builds a disk when the driver creates a target, and tells when all are there.
private final class TargetPublisher: @unchecked Sendable {
    // SAFETY: `controller` is set before the driver starts; the rest is touched under `lock`.
    weak var controller: ParallelController!
    private let count: Int
    private let lock = Lock()
    private var disks: [BlockCommandsDevice?]
    private var failure: (any Error)?
    private let complete = Event()
    private static let timeoutMilliseconds = 60_000

    init(count: Int) {
        self.count = count
        disks = Array(repeating: nil, count: count)
    }

    /// On the driver's AuxiliaryQueue: probes the target.
    func publish(_ targetID: UInt64) -> Bool {
        guard targetID < count else { return false }
        do {
            let disk = try BlockCommandsDevice(transport: controller, targetID: UInt8(targetID))
            try disk.probe()
            let isLast = lock.withLock {
                disks[Int(targetID)] = disk
                return !disks.contains { $0 == nil }
            }
            if isLast { complete.set() }
            return true
        } catch {
            lock.withLock { failure = error }
            complete.set()
            return false
        }
    }

    /// Waits until the driver has created all targets.
    func wait() throws -> [BlockCommandsDevice] {
        guard complete.wait(milliseconds: Self.timeoutMilliseconds) else {
            throw DriverStartError(call: "UserCreateTargetForID", reason: "was not called for every array within 60 s")
        }
        return try lock.withLock {
            if let failure { throw failure }
            return disks.map { $0! }
        }
    }
}

/// Waits for one flush.
private final class FlushReceiver: BlockCompletionReceiver, @unchecked Sendable {
    // SAFETY: written before `done` is set, read after.
    private(set) var succeeded = false
    let done = Event()

    func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {
        succeeded = completions[0].error == .none
        done.set()
    }
}
