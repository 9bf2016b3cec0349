import Synchronization

/// The emulated IOMMU ("device address resolution table") between a card and memory.
///
/// The bus address space consists of windows of 4 GiB. A window maps one contiguous range of memory from its first
/// byte. The kernel half gives each task slot a window, so one lookup translates an address and proves that the card
/// may touch the whole range. Any other address is a fault, as on Apple silicon.
///
/// The card reaches memory through a `Pin` only, and a window does not change while it is pinned:
///
///     free ──map──▶ open ──unmap, not pinned──────────────▶ free
///                     └───unmap, pinned──▶ closed ──last pin──▶ free
///
/// Only an open window can be pinned. So nobody reads the fields that `map` writes before they are complete, or while
/// they change. Memory that the card may touch stays allocated: the DART keeps its owner until the window is free.
///
/// Threads: any. Each window's state is one atomic word.
public final class DART: Sendable {
    /// A bus address as a card and a driver see it. Never valid as a CPU address.
    public typealias BusAddress = UInt64

    /// The card's hold on a window, which lasts as long as the pin exists.
    public struct Pin: ~Copyable, Sendable {
        // SAFETY: a card that pins also keeps the DART. A reference here would be counted for each command.
        private nonisolated(unsafe) let window: UnsafeMutablePointer<Window>
        /// The address that was pinned.
        public let address: BusAddress

        fileprivate init(_ window: UnsafeMutablePointer<Window>, _ address: BusAddress) {
            self.window = window
            self.address = address
        }

        /// The memory behind the address, valid as long as the pin. Nil is a DART fault: the range is not mapped in
        /// full, or the card would write to memory that it may only read.
        public func memory(byteCount: Int, deviceWrites: Bool) -> UnsafeMutableRawPointer? {
            let offset = address & (1 << DART.windowShift - 1)
            guard byteCount >= 0, offset <= window.pointee.byteCount,
                UInt64(byteCount) <= window.pointee.byteCount - offset,
                window.pointee.isWritableByDevice || !deviceWrites
            else { return nil }
            return UnsafeMutableRawPointer(bitPattern: window.pointee.base + UInt(offset))
        }

        /// Whether the memory belongs to a task; if not, to the driver itself.
        public var isOfTask: Bool { window.pointee.isOfTask }

        /// Releases the window, and adds to the number of bytes that the card has filled there.
        public consuming func end(filling byteCount: UInt64) {
            DART.unpin(window, filled: byteCount)
            discard self
        }

        deinit { DART.unpin(window, filled: 0) }
    }

    /// The fields beside the word are written by `map` and `letGo` while the window is taken and not open, and read by
    /// holders of a pin.
    fileprivate struct Window: ~Copyable {
        /// From the lowest bit: 16 bits for the pins held now, `isOpen`, `isTaken`, 16 bits that count all pins so far,
        /// and 30 bits that count the bytes filled so far.
        let word = Atomic<UInt64>(0)
        var base: UInt = 0
        var byteCount: UInt64 = 0
        var owner: AnyObject?
        var isWritableByDevice = false
        let isOfTask: Bool

        init(isOfTask: Bool) { self.isOfTask = isOfTask }
    }

    private static let windowShift: UInt64 = 32
    private static let heldMask: UInt64 = 0xFFFF
    /// The window can be pinned.
    private static let isOpen: UInt64 = 1 << 16
    /// The window is not free.
    private static let isTaken: UInt64 = 1 << 17
    private static let pinCountShift: UInt64 = 18
    private static let pinCountMask: UInt64 = 0xFFFF << pinCountShift
    private static let filledShift: UInt64 = 34
    /// The largest count of filled bytes. The next byte makes it 0 again.
    public static let filledByteCountMax: UInt64 = 1 << (64 - filledShift) - 1

    // SAFETY: the pointer never changes; see `Window` for its content.
    private nonisolated(unsafe) let windows: UnsafeMutablePointer<Window>
    /// The number of windows, those of the task slots included.
    public let windowCount: Int
    private let nextWindow: Atomic<Int>
    // SAFETY: never used, only kept alive.
    private nonisolated(unsafe) let taskMemory: AnyObject?

    /// - Parameters:
    ///   - windowCount: the number of all windows.
    ///   - reservedCount: the number of windows at the start that belong to the task slots. The others are claimed one
    ///     by one.
    ///   - taskMemory: the owner of everything that the task slots' windows will ever map. It lives as long as the
    ///     DART, so a task needs no reference to it.
    public init(windowCount: Int, reservedCount: Int, taskMemory: AnyObject? = nil) {
        self.windowCount = windowCount
        self.taskMemory = taskMemory
        nextWindow = Atomic(reservedCount)
        windows = .allocate(capacity: windowCount)
        for window in 0..<windowCount { (windows + window).initialize(to: Window(isOfTask: window < reservedCount)) }
    }

    deinit {
        windows.deinitialize(count: windowCount)
        windows.deallocate()
    }

    // MARK: For the owners of memory

    /// Claims an unused window; nil when none is left. Windows are never given back, since drivers claim a few at
    /// start.
    public func claimWindow() -> Int? {
        let window = nextWindow.add(1, ordering: .relaxed).oldValue
        return window < windowCount ? window : nil
    }

    /// Lets the card reach `byteCount` bytes at `memory`.
    /// - Parameter owner: kept alive as long as the card may reach the memory; nil for a task's memory.
    /// - Returns: the bus address of the first byte, or nil when the window is not free.
    public func map(
        window: Int, memory: UnsafeMutableRawPointer, byteCount: Int, deviceMayWrite: Bool, owner: AnyObject? = nil
    ) -> BusAddress? {
        precondition(window >= 0 && window < windowCount && byteCount <= 1 << Self.windowShift)
        let entry = windows + window
        let word = entry.pointee.word.load(ordering: .acquiring)
        let taken = word | Self.isTaken
        guard word & Self.isTaken == 0,
            entry.pointee.word.compareExchange(expected: word, desired: taken, ordering: .acquiring).exchanged
        else { return nil }
        entry.pointee.base = UInt(bitPattern: memory)
        entry.pointee.byteCount = UInt64(byteCount)
        entry.pointee.isWritableByDevice = deviceMayWrite
        if let owner { entry.pointee.owner = owner }
        // No other thread changes the word of a window that is taken and not open.
        entry.pointee.word.store(taken | Self.isOpen, ordering: .releasing)
        return UInt64(window + 1) << Self.windowShift
    }

    /// Ends the card's access to a window. Commands that hold a pin go on with the memory as it was; new pins fail.
    /// - Returns: whether the window is free. If not, it becomes free with its last pin.
    @discardableResult public func unmap(window: Int) -> Bool {
        let entry = windows + window
        var word = entry.pointee.word.load(ordering: .acquiring)
        while word & Self.isOpen != 0 {
            let isHeld = word & Self.heldMask != 0
            // The DART keeps the tasks' memory itself, so no owner has to be released.
            let isFree = !isHeld && entry.pointee.isOfTask
            let (isDone, current) = entry.pointee.word.weakCompareExchange(
                expected: word, desired: word & ~(isFree ? Self.isOpen | Self.isTaken : Self.isOpen),
                ordering: .acquiringAndReleasing)
            if isDone {
                if !isHeld && !isFree { Self.letGo(entry) }
                return !isHeld
            }
            word = current
        }
        return word & Self.isTaken == 0
    }

    /// Frees a window that is closed and not pinned. Exactly one thread gets here.
    private static func letGo(_ window: UnsafeMutablePointer<Window>) {
        // This may be the last reference to the memory.
        if !window.pointee.isOfTask { window.pointee.owner = nil }
        window.pointee.word.subtract(isTaken, ordering: .releasing)
    }

    /// Whether a window can be mapped.
    public func isFree(window: Int) -> Bool { word(of: window) & Self.isTaken == 0 }

    // MARK: For the card, and for observers

    /// Pins the window of an address: the card works on the memory there, so it must not be taken away. The card pins a
    /// command's address when its doorbell rings, and ends the pin before it posts the completion.
    /// - Returns: nil when nothing is mapped there.
    public func pin(_ address: BusAddress) -> Pin? {
        guard let window = window(of: address) else { return nil }
        let entry = windows + window
        var word = entry.pointee.word.load(ordering: .relaxed)
        while word & Self.isOpen != 0 {
            let pinCount = (word &+ 1 << Self.pinCountShift) & Self.pinCountMask
            let (isDone, current) = entry.pointee.word.weakCompareExchange(
                expected: word, desired: (word & ~Self.pinCountMask | pinCount) &+ 1, successOrdering: .acquiring,
                failureOrdering: .relaxed)
            if isDone { return Pin(entry, address) }
            word = current
        }
        return nil
    }

    private static func unpin(_ window: UnsafeMutablePointer<Window>, filled byteCount: UInt64) {
        let change = byteCount << filledShift &- 1
        let word = window.pointee.word.wrappingAdd(change, ordering: .acquiringAndReleasing).newValue
        if word & (heldMask | isOpen) == 0 { letGo(window) }
    }

    private func word(of window: Int) -> UInt64 { windows[window].word.load(ordering: .acquiring) }

    /// Whether the card works on a window's memory.
    public func isPinned(window: Int) -> Bool { word(of: window) & Self.heldMask != 0 }

    /// The number of pins of the window so far, modulo 65,536. An observer that sees it change knows that the card has
    /// seen a command.
    public func pinCount(window: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: word(of: window) >> Self.pinCountShift)
    }

    /// The number of bytes of a window's memory that the card has filled in ended commands, modulo `filledByteCountMax`
    /// + 1. An observer subtracts an earlier value. Bytes that were filled twice count twice.
    public func filledByteCount(window: Int) -> UInt64 { word(of: window) >> Self.filledShift }

    /// The window of a bus address, or nil when there is none.
    public func window(of address: BusAddress) -> Int? {
        let index = Int(truncatingIfNeeded: address >> Self.windowShift) - 1
        return index >= 0 && index < windowCount ? index : nil
    }

    /// All bus addresses of the windows.
    public var addressRange: Range<BusAddress> {
        1 << Self.windowShift..<UInt64(windowCount + 1) << Self.windowShift
    }
}
