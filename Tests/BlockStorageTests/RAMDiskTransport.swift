import BlockStorage
import Diagnostics
import ParallelInterface
import Platform
import SCSI
import SCSIArchitectureModel

/// An HBA with one disk in memory behind it, that answers CDBs inline or when told to.
final class RAMDiskTransport: SCSITaskTransport, @unchecked Sendable {
    // SAFETY: what a command touches, under `lock`; the settings belong to the test's thread.
    let tasks: UnsafeMutablePointer<SCSITask>
    let laneCount = 2
    let tasksPerLane = 16
    let arena: DataArena
    var constraints = HBAConstraints()
    let disk: DirectAccessTarget
    var bytes: [UInt8]
    /// Commands in the order of their arrival.
    var commands: [CommandDescriptorBlock] = []
    /// Keeps tasks until `answer` is called.
    var holdsTasks = false
    var held: [TaskIndex] = []
    /// Replaces the outcome of the next tasks: service response, status and sense.
    var failures: [(UInt8, UInt8, SenseData?)] = []
    /// The disk has no WRITE SAME.
    var refusesZeroing = false
    /// The bytes that a command moves at most.
    var movedByteCountMax = UInt64.max
    private var owner: (any SCSITaskOwner)?
    private var nextLane = 0
    private let lock = Lock()

    init(blockCount: Int, change: (inout DiskTraits) -> Void = { _ in }) throws {
        var traits = DiskTraits()
        traits.blockCount = UInt64(blockCount)
        change(&traits)
        disk = DirectAccessTarget(traits: traits)
        bytes = Array(repeating: 0, count: blockCount * 512)
        arena = try DataArena(byteCount: 16 << 20)
        tasks = .allocate(capacity: laneCount * tasksPerLane)
        tasks.initialize(repeating: SCSITask(), count: laneCount * tasksPerLane)
    }

    deinit { tasks.deallocate() }

    func attach(_ owner: any SCSITaskOwner, at address: UnitAddress) { self.owner = owner }

    func makeLane() throws -> Int {
        lock.withLock {
            defer { nextLane += 1 }
            return nextLane % laneCount
        }
    }

    func releaseLane(_ lane: Int) {}
    func hasOutstandingWork(lane: Int) -> Bool { false }
    func wait(lane: Int, orReadable descriptor: Int32) {}
    func wait(forAnswer event: OneShotEvent, to command: String, taskIndex: TaskIndex) -> Bool {
        event.wait()
        return true
    }
    let log = DiagnosisLog { _ in }
    var hasMapper = true
    var pageByteCount: UInt64 = 16384

    func submit(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int) {
        for taskIndex in taskIndices {
            let cdb = CommandDescriptorBlock(bytes: tasks[Int(taskIndex)].cdb, byteCount: tasks[Int(taskIndex)].cdbSize)
            lock.withLock { commands.append(cdb) }
            if holdsTasks { held.append(taskIndex) } else { answer(taskIndex) }
        }
    }

    /// Answers the held task at a position.
    func answerHeld(at position: Int) { answer(held.remove(at: position)) }

    private func answer(_ taskIndex: TaskIndex) {
        let task = tasks + Int(taskIndex)
        task.pointee.senseByteCount = 0
        task.pointee.realizedTransferCount = 0
        lock.withLock {
            if !failures.isEmpty {
                let (response, status, sense) = failures.removeFirst()
                set(task, response, status, sense)
            } else {
                execute(task)
                task.pointee.realizedTransferCount = min(task.pointee.realizedTransferCount, movedByteCountMax)
            }
        }
        withUnsafePointer(to: taskIndex) {
            owner?.tasksCompleted(UnsafeBufferPointer(start: $0, count: 1), lane: Int(taskIndex) / tasksPerLane)
        }
    }

    private func set(_ task: UnsafeMutablePointer<SCSITask>, _ response: UInt8, _ status: UInt8, _ sense: SenseData?) {
        task.pointee.serviceResponse = response
        task.pointee.taskStatus = status
        guard let sense else { return }
        task.pointee.sense = sense.fixedFormat
        task.pointee.senseByteCount = 18
    }

    private func execute(_ task: UnsafeMutablePointer<SCSITask>) {
        let count = task.pointee.direction == .none ? 0 : Int(task.pointee.requestedTransferCount)
        let data = UnsafeMutableRawBufferPointer(start: count == 0 ? nil : task.pointee.buffer, count: count)
        set(task, 2, 0, nil)
        let cdb = CommandDescriptorBlock(bytes: task.pointee.cdb, byteCount: task.pointee.cdbSize)
        switch disk.action(for: cdb, logicalUnit: task.pointee.logicalUnit, data: data) {
        case .good, .synchronizeCache, .verify: break
        case .respond(let byteCount): task.pointee.realizedTransferCount = UInt64(byteCount)
        case .checkCondition(let sense): set(task, 2, 2, sense)
        case .read(let lba, let blockCount):
            data.copyBytes(from: bytes[Int(lba) * 512..<Int(lba + blockCount) * 512])
            task.pointee.realizedTransferCount = blockCount * 512
        case .write(let lba, let blockCount, _):
            bytes.replaceSubrange(Int(lba) * 512..<Int(lba + blockCount) * 512, with: data)
            task.pointee.realizedTransferCount = blockCount * 512
        case .zero where refusesZeroing: set(task, 2, 2, .invalidOperationCode)
        case .zero(let lba, let blockCount, _):
            bytes.replaceSubrange(
                Int(lba) * 512..<Int(lba + blockCount) * 512, with: repeatElement(0, count: Int(blockCount) * 512))
        }
    }
}

/// Notes the outcomes of requests.
final class CompletionRecorder: BlockCompletionReceiver, @unchecked Sendable {
    // SAFETY: tests drive it from one thread.
    var completions: [BlockCompletion] = []

    func completed(_ completions: UnsafeBufferPointer<BlockCompletion>) {
        self.completions.append(contentsOf: completions)
    }
}

/// A block device over a `RAMDiskTransport`, with a lane.
struct BlockFixture {
    let transport: RAMDiskTransport
    let disk: BlockCommandsDevice
    let device: BlockStorageDevice
    let recorder = CompletionRecorder()
    let lane: any BlockLane

    init(
        blockCount: Int = 4096, change: (inout DiskTraits) -> Void = { _ in },
        constraints: HBAConstraints = HBAConstraints(), alignsStages: Bool = false,
        machine: (RAMDiskTransport) -> Void = { _ in }
    ) throws {
        transport = try RAMDiskTransport(blockCount: blockCount, change: change)
        transport.constraints = constraints
        machine(transport)
        disk = try BlockCommandsDevice(transport: transport, address: UnitAddress(targetID: 0))
        try disk.probe()
        device = try BlockStorageDevice(
            disk: disk, transport: transport, name: "test", description: "a RAM disk",
            alignsStages: alignsStages)
        lane = try device.makeLane(receiver: recorder)
        transport.commands = []
    }

    func submit(_ requests: BlockRequest...) {
        requests.withUnsafeBufferPointer { lane.submit($0) }
    }
}
