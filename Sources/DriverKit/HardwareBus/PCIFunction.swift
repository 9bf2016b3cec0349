/// A card on the emulated bus, as the bus sees it: a register window, an interrupt line, and the work that
/// the card does.
///
/// Real hardware works on its own; an emulated card needs a processor lent to it. Each thread that brings
/// work owns a *lane*: it calls `run` after it rang a doorbell, and `wait` when it has nothing else to do.
/// Work that one thread left may be done on the lane of another; whoever takes work drives it until it is
/// complete or waits for I/O of its lane.
open class PCIFunction: @unchecked Sendable {
    // SAFETY: subclasses protect their own state; `interruptHandler` and `dart` are set before the card runs.

    /// Translates the bus addresses that the driver programs into the card.
    public final let dart: DART
    /// Called when the card asserts its interrupt line, on the thread that runs the card, with no lock held.
    public final var interruptHandler: (@Sendable () -> Void)?

    /// Called when the card was given an address that the DART does not let it use: address, bytes, whether it wanted
    /// to write there. On the thread that runs the card.
    public final var dartFaultHandler: (@Sendable (DART.BusAddress, Int, Bool) -> Void)?
    /// Whether the card pins the memory of every command that it takes, so that others can tell what it has seen.
    open var pinsCommands: Bool { false }

    /// Whether the DART knows of every byte that the card fills of a task's memory (`DART.filledByteCount`).
    open var countsFilledBytes: Bool { false }

    /// Bytes of a logical unit's data in the card's volatile cache.
    open func dirtyByteCount(target: UInt16, logicalUnit: UInt8) -> UInt64 { 0 }

    public init(dart: DART) { self.dart = dart }

    /// Reads the register at a byte offset of BAR 0. A register that does not exist reads as all ones.
    open func readRegister(_ offset: Int) -> UInt32 { 0xFFFF_FFFF }

    /// Writes the register at a byte offset of BAR 0. Inside a driver's queue section: it must be short.
    open func writeRegister(_ offset: Int, _ value: UInt32) {}

    /// Claims a window for a driver's own memory, or nil when none is left.
    open func claimDMAWindow() -> Int? { dart.claimWindow() }

    /// Lets the card reach a driver's own memory, instead of what the window mapped before.
    /// - Parameters:
    ///   - window: claimed before.
    ///   - owner: is kept as long as the card may reach the memory.
    ///   - sharedID: the memory's number where driver and card are in different processes, else 0.
    /// - Returns: the bus address of the first byte, or nil when the memory cannot be mapped: the card still works on what
    ///   the window mapped before.
    open func mapDMA(
        window: Int, memory: UnsafeMutableRawBufferPointer, owner: AnyObject, sharedID: UInt64
    ) -> DART.BusAddress? {
        guard dart.unmap(window: window) else { return nil }
        return dart.map(
            window: window, memory: memory.baseAddress!, byteCount: memory.count, deviceMayWrite: true, owner: owner)
    }

    /// Ends the card's access to a window. What it has begun goes on with the memory, which stays until then.
    open func unmapDMA(window: Int) { dart.unmap(window: window) }

    /// Function level reset: the card forgets its driver. Commands that it has begun come to an end, and nobody hears of it.
    open func reset() {}

    /// Makes a lane for the calling thread. At most one thread uses a lane at a time.
    /// - Throws: when the system refuses the resources (descriptors, memory).
    open func makeLane() throws -> Int { 0 }

    /// Gives a lane back. It must have no outstanding work.
    open func releaseLane(_ lane: Int) {}

    /// Does all work that can be done now without blocking: takes queued commands, starts member I/O, reaps
    /// what completed, and asserts the interrupt line for finished commands.
    /// - Returns: whether anything was done.
    open func run(lane: Int) -> Bool { false }

    /// Whether I/O that this lane started is still outstanding. A thread must not block elsewhere while it is.
    open func hasOutstandingWork(lane: Int) -> Bool { false }

    /// Blocks until I/O of the lane completed or `descriptor` (unless negative) is readable. Call `run` next.
    open func wait(lane: Int, orReadable descriptor: Int32) {}
}
