import Diagnostics
import Platform

/// The HBA as the SCSI architecture model sees it: a table of tasks, and lanes to send them on.
///
/// Tasks are named by index. Lane `l` owns the tasks `l * tasksPerLane ..< (l + 1) * tasksPerLane`, so an upper layer
/// that numbers its requests below `tasksPerLane` needs no allocation of its own.
package protocol SCSITaskTransport: AnyObject, Sendable {
    /// `laneCount * tasksPerLane` tasks. A task belongs to the model except between `submit` and its completion.
    var tasks: UnsafeMutablePointer<SCSITask> { get }
    /// Lanes in all; the size of per-lane tables.
    var laneCount: Int { get }
    /// Tasks of each lane.
    var tasksPerLane: Int { get }
    /// The memory that task buffers lie in.
    var arena: DataArena { get }
    /// The limits by which the block layer breaks requests up.
    var constraints: HBAConstraints { get }
    /// Whether an IOMMU joins pages for the device.
    var hasMapper: Bool { get }
    /// Bytes of a page of the emulated machine.
    var pageByteCount: UInt64 { get }
    /// The log for faults on the way of a request.
    var log: DiagnosisLog { get }

    /// Sets the owner of a logical unit's tasks. Called before the unit's first task.
    func attach(_ owner: any SCSITaskOwner, at address: UnitAddress)

    /// Makes a lane for the calling thread.
    /// - Throws: if none is left.
    func makeLane() throws -> Int
    /// Gives a lane back, after its outstanding work is done.
    func releaseLane(_ lane: Int)

    /// Starts tasks, by index and in order, and does all work that needs no waiting. Tasks that find no free slot wait
    /// inside the HBA. Completions go to the owner, possibly before this returns.
    func submit(_ taskIndices: UnsafeBufferPointer<TaskIndex>, lane: Int)

    /// Whether I/O that was started on this lane is outstanding. Then the thread must block in `wait` and nowhere else.
    func hasOutstandingWork(lane: Int) -> Bool

    /// Blocks until the completion of a probe command's task sets `event`.
    /// - Returns: false if that can never happen, since the driver blocks its own completions.
    func wait(forAnswer event: OneShotEvent, to command: String, taskIndex: TaskIndex) -> Bool

    /// Blocks until I/O of this lane makes progress or `descriptor` (unless negative) is readable, and does the work
    /// that follows.
    func wait(lane: Int, orReadable descriptor: Int32)
}

/// The limits that an HBA publishes on its registry node, as the block layer reads them; 0 means no limit. Each comment
/// names the registry key.
package struct HBAConstraints: BitwiseCopyable, Sendable, Equatable {
    /// IOMaximumBlockCountRead: blocks of a stage.
    package var maximumBlockCountRead: UInt64 = 65535
    /// IOMaximumBlockCountWrite: blocks of a stage.
    package var maximumBlockCountWrite: UInt64 = 65535
    /// IOMaximumByteCountRead: bytes of a stage.
    package var maximumByteCountRead: UInt64 = 0
    /// IOMaximumByteCountWrite: bytes of a stage.
    package var maximumByteCountWrite: UInt64 = 0
    /// IOMaximumSegmentCountRead: segments of a stage.
    package var maximumSegmentCountRead: UInt64 = 0
    /// IOMaximumSegmentCountWrite: segments of a stage.
    package var maximumSegmentCountWrite: UInt64 = 0
    /// IOMaximumSegmentByteCountRead: bytes of a segment.
    package var maximumSegmentByteCountRead: UInt64 = 0
    /// IOMaximumSegmentByteCountWrite: bytes of a segment.
    package var maximumSegmentByteCountWrite: UInt64 = 0
    /// IOMinimumSegmentAlignmentByteCount: the alignment of a segment's address and length, bytes.
    package var minimumSegmentAlignment: UInt64 = 4
    /// IOMaximumSegmentAddressableBitCount: bits of a segment's address.
    package var maximumSegmentAddressableBits: UInt64 = 0

    package init() {}
}
