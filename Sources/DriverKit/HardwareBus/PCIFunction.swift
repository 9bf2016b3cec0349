/// A card on the emulated bus, as the bus sees it: a register window, an interrupt line, and the card's own work.
///
/// Real hardware works on its own; an emulated card borrows a processor. Each thread that brings work owns a *lane*: it
/// calls `run` after it has rung a doorbell, and `wait` when it has nothing else to do. Another lane may take up work
/// that a thread has left. The lane that takes work drives it until it is complete or waits for I/O of that lane.
open class PCIFunction: @unchecked Sendable {
    // SAFETY: subclasses protect their own state; `interruptHandler` and `dart` are set before the card runs.

    /// Translates the bus addresses that the driver programs into the card.
    public final let dart: DART
    /// Called when the card asserts its interrupt line, on the thread that runs the card, with no lock held.
    public final var interruptHandler: (@Sendable () -> Void)?

    /// Called when the card gets an address that the DART does not let it use, on the thread that runs the card.
    /// Arguments: the address, the bytes, and whether it wanted to write there.
    public final var dartFaultHandler: (@Sendable (DART.BusAddress, Int, Bool) -> Void)?
    /// Whether the card pins the memory of every command that it takes, so that observers can tell which commands it
    /// has seen.
    open var pinsCommands: Bool { false }

    /// Whether the DART counts every byte that the card fills of a task's memory (`DART.filledByteCount`).
    open var countsFilledBytes: Bool { false }

    /// The bytes of a logical unit's data that are only in the card's volatile cache.
    open func dirtyByteCount(target: UInt16, logicalUnit: UInt8) -> UInt64 { 0 }

    /// Makes a card behind a DART, which it keeps.
    public init(dart: DART) { self.dart = dart }

    /// Reads the register at a byte offset of BAR 0. A missing register reads as all ones.
    open func readRegister(_ offset: Int) -> UInt32 { 0xFFFF_FFFF }

    /// Writes the register at a byte offset of BAR 0. It runs inside a driver's queue section, so it must be short.
    open func writeRegister(_ offset: Int, _ value: UInt32) {}

    /// Bytes of BAR 0; 0 for a function without registers.
    open var registerByteCount: Int { 0 }

    /// Reads 4 bytes of the configuration space; a function without one reads as all ones.
    /// - Parameter offset: a multiple of 4, below `PCIConfigurationSpace.byteCount`.
    open func readConfiguration(_ offset: Int) -> UInt32 { 0xFFFF_FFFF }

    /// Writes those of 4 bytes of the configuration space that a mask selects.
    open func writeConfiguration(_ offset: Int, _ value: UInt32, mask: UInt32) {}

    /// Claims a window for a driver's own memory, or nil when none is left.
    open func claimDMAWindow() -> Int? { dart.claimWindow() }

    /// Maps a driver's own memory for the card, in place of the window's former memory.
    /// - Parameters:
    ///   - window: a claimed window.
    ///   - owner: kept alive as long as the card may reach the memory.
    ///   - sharedID: the memory's number where driver and card are in different processes; else 0.
    /// - Returns: the bus address of the first byte, or nil when the card still works on the window's former memory.
    open func mapDMA(
        window: Int, memory: UnsafeMutableRawBufferPointer, owner: AnyObject, sharedID: UInt64
    ) -> DART.BusAddress? {
        guard dart.unmap(window: window) else { return nil }
        return dart.map(
            window: window, memory: memory.baseAddress!, byteCount: memory.count, deviceMayWrite: true, owner: owner)
    }

    /// Ends the card's access to a window. Commands under way go on with the memory, which stays allocated until they
    /// end.
    open func unmapDMA(window: Int) { dart.unmap(window: window) }

    /// Function level reset: the card forgets its driver. Commands under way end, and no completion is posted for them.
    open func reset() {}

    /// Makes a lane for the calling thread. At most one thread uses a lane at a time.
    /// - Throws: when the system refuses the resources (descriptors, memory).
    open func makeLane() throws -> Int { 0 }

    /// Gives a lane back. It must have no outstanding work.
    open func releaseLane(_ lane: Int) {}

    /// Does all work that is possible without blocking: takes queued commands, starts member I/O, collects completed
    /// I/O, and asserts the interrupt line for finished commands.
    /// - Returns: whether anything was done.
    open func run(lane: Int) -> Bool { false }

    /// Whether I/O of this lane is outstanding. Its thread must not block elsewhere meanwhile.
    open func hasOutstandingWork(lane: Int) -> Bool { false }

    /// Blocks until I/O of the lane completes or `descriptor` (unless negative) is readable. Call `run` next.
    open func wait(lane: Int, orReadable descriptor: Int32) {}
}
