import Diagnostics
import Platform

/// What the SCSI architecture model needs of the HBA below it: a table of tasks, and lanes to send them on.
///
/// Rows are identified by index. Lane `l` owns the rows `l * rowsPerLane ..< (l + 1) * rowsPerLane`, so an upper
/// layer that numbers its requests below `rowsPerLane` needs no allocation of its own.
package protocol SCSITaskTransport: AnyObject, Sendable {
    /// `laneCount * rowsPerLane` rows; a row belongs to the model except between `submit` and its completion.
    var tasks: UnsafeMutablePointer<SCSITask> { get }
    var laneCount: Int { get }
    var rowsPerLane: Int { get }
    /// The memory that task buffers lie in.
    var arena: DataArena { get }
    /// The limits by which the block layer breaks requests up.
    var constraints: HBAConstraints { get }
    /// Whether an IOMMU joins pages for the device, and the page size of the emulated machine.
    var hasMapper: Bool { get }
    var pageByteCount: UInt64 { get }
    /// Gets what goes wrong on the way of a request.
    var log: DiagnosisLog { get }

    /// Names the model's side of a logical unit. Called before the unit's first task.
    func attach(_ owner: any SCSITaskOwner, at address: UnitAddress)

    /// Makes a lane for the calling thread.
    func makeLane() throws -> Int
    func releaseLane(_ lane: Int)

    /// Starts the tasks in these rows, in order, and does all work that needs no waiting. Rows that find no free
    /// task slot wait inside the HBA. Completions arrive at the owner, possibly before this returns.
    func submit(_ rows: UnsafeBufferPointer<UInt32>, lane: Int)

    /// Whether I/O started on this lane is outstanding; then the thread must block in `wait` and nowhere else.
    func hasOutstandingWork(lane: Int) -> Bool

    /// Blocks until somebody sets `event`, which the completion of the probe command in a row does.
    /// - Returns: false when that can never happen, as the driver blocks its own completions.
    func wait(forAnswer event: Event, to command: String, row: UInt32) -> Bool

    /// Blocks until I/O of this lane made progress or `descriptor` (unless negative) is readable, and does the
    /// work that followed.
    func wait(lane: Int, orReadable descriptor: Int32)
}

/// The limits that an HBA publishes on its registry node, as the block layer reads them; 0 means unlimited.
/// Names in comments are the registry keys.
package struct HBAConstraints: BitwiseCopyable, Sendable, Equatable {
    /// IOMaximumBlockCountRead/Write.
    package var maximumBlockCountRead: UInt64 = 65535
    package var maximumBlockCountWrite: UInt64 = 65535
    /// IOMaximumByteCountRead/Write.
    package var maximumByteCountRead: UInt64 = 0
    package var maximumByteCountWrite: UInt64 = 0
    /// IOMaximumSegmentCountRead/Write.
    package var maximumSegmentCountRead: UInt64 = 0
    package var maximumSegmentCountWrite: UInt64 = 0
    /// IOMaximumSegmentByteCountRead/Write.
    package var maximumSegmentByteCountRead: UInt64 = 0
    package var maximumSegmentByteCountWrite: UInt64 = 0
    /// IOMinimumSegmentAlignmentByteCount.
    package var minimumSegmentAlignment: UInt64 = 4
    /// IOMaximumSegmentAddressableBitCount.
    package var maximumSegmentAddressableBits: UInt64 = 0

    package init() {}
}
