import Synchronization

/// The emulated IOMMU ("device address resolution table") between a card and memory.
///
/// Bus addresses are made of windows of 4 GiB; a window maps one contiguous range of memory from its first
/// byte. The kernel half gives each task slot a window, so one lookup translates an address and proves that
/// the card may touch the whole range; anything else is a fault, as on Apple silicon.
///
/// The card reaches memory through a `Pin` only, and a window does not change while it is pinned:
///
///     free ──map──▶ open ──unmap, not pinned──────────────▶ free
///                     └───unmap, pinned──▶ closed ──last pin──▶ free
///
/// Only an open window can be pinned. So what `map` wrote is read by nobody before it is whole and by nobody while it is
/// written, and memory that the card may touch stays: the DART keeps its owner until the window is free.
///
/// Threads: any. One atomic word for each window says how it is.
public final class DART: Sendable {
    /// A bus address as a card and a driver see it. Never valid as a CPU address.
    public typealias BusAddress = UInt64

    /// The card's hold on a window, for as long as it exists.
    public struct Pin: ~Copyable, Sendable {
        // SAFETY: whoever pins keeps the DART, as a card does. A reference would be counted, for each command.
        private nonisolated(unsafe) let window: UnsafeMutablePointer<Window>
        /// What was pinned.
        public let address: BusAddress

        fileprivate init(_ window: UnsafeMutablePointer<Window>, _ address: BusAddress) {
            self.window = window
            self.address = address
        }

        /// The memory behind the address, or nil when it is not mapped in full or the card would write to memory that it
        /// may only read: a DART fault. Valid as long as the pin.
        public func memory(byteCount: Int, deviceWrites: Bool) -> UnsafeMutableRawPointer? {
            let offset = address & (1 << DART.windowShift - 1)
            guard byteCount >= 0, offset <= window.pointee.byteCount,
                UInt64(byteCount) <= window.pointee.byteCount - offset,
                window.pointee.isWritableByDevice || !deviceWrites
            else { return nil }
            return UnsafeMutableRawPointer(bitPattern: window.pointee.base + UInt(offset))
        }

        /// Whether the memory is a task's, and not of a driver's own.
        public var isOfTask: Bool { window.pointee.isOfTask }

        /// Lets go of the window, and notes that the card has filled so many bytes there.
        public consuming func end(filling byteCount: UInt64) {
            DART.unpin(window, filled: byteCount)
            discard self
        }

        deinit { DART.unpin(window, filled: 0) }
    }

    /// What an entry has beside its word is written between the two changes of the word that `map` or `letGo` makes, and read
    /// by who has pinned the window.
    fileprivate struct Window: ~Copyable {
        /// The pins that are held, two bits, the pins so far, and the bytes that were filled so far.
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
    /// It can be pinned.
    private static let isOpen: UInt64 = 1 << 16
    /// It is not free.
    private static let isTaken: UInt64 = 1 << 17
    private static let pinCountShift: UInt64 = 18
    private static let pinCountMask: UInt64 = 0xFFFF << pinCountShift
    private static let filledShift: UInt64 = 34
    /// The largest number of bytes that were filled, which then begins again at 0.
    public static let filledByteCountMax: UInt64 = 1 << (64 - filledShift) - 1

    // SAFETY: see `Window`.
    private nonisolated(unsafe) let windows: UnsafeMutablePointer<Window>
    public let windowCount: Int
    private let nextWindow: Atomic<Int>
    // SAFETY: only kept.
    private nonisolated(unsafe) let taskMemory: AnyObject?

    /// - Parameters:
    ///   - windowCount: all windows.
    ///   - reservedCount: the first windows, which belong to the task slots; the rest are claimed one by one.
    ///   - taskMemory: owns all that the first windows will ever map. It lives as long as the DART, so that a task needs
    ///     no reference to it.
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

    // MARK: Who gives memory

    /// A window that nobody has, or nil when none is left. It is never given back: drivers claim a few, at start.
    public func claimWindow() -> Int? {
        let window = nextWindow.add(1, ordering: .relaxed).oldValue
        return window < windowCount ? window : nil
    }

    /// Lets the card reach `byteCount` bytes at `memory`.
    /// - Parameter owner: is kept as long as the card may reach the memory. None for a task's.
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
        // Nobody else changes the word of a window that is taken and not open.
        entry.pointee.word.store(taken | Self.isOpen, ordering: .releasing)
        return UInt64(window + 1) << Self.windowShift
    }

    /// Ends the card's access to a window. What the card has begun goes on, with the memory as it was; it begins nothing
    /// more.
    /// - Returns: whether the window is free. If not, it becomes so with the last pin.
    @discardableResult public func unmap(window: Int) -> Bool {
        let entry = windows + window
        var word = entry.pointee.word.load(ordering: .acquiring)
        while word & Self.isOpen != 0 {
            let isHeld = word & Self.heldMask != 0
            // The DART keeps a task's memory, so there is nothing more to do for it.
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

    /// Makes a window free that is closed and not pinned; one thread comes to this.
    private static func letGo(_ window: UnsafeMutablePointer<Window>) {
        // The DART may be the last to know of the memory.
        if !window.pointee.isOfTask { window.pointee.owner = nil }
        window.pointee.word.subtract(isTaken, ordering: .releasing)
    }

    /// Whether a window can be mapped.
    public func isFree(window: Int) -> Bool { word(of: window) & Self.isTaken == 0 }

    // MARK: Who uses it

    /// Says that the card works on the memory behind an address, so that it must not be taken away. The card pins
    /// a command's address when its doorbell rings and lets go of it before it posts the completion.
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

    /// How often the window was pinned, in 16 bits: whether the card has seen a command for it since somebody looked.
    public func pinCount(window: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: word(of: window) >> Self.pinCountShift)
    }

    /// How many bytes of a window's memory the card has filled in the commands that have ended, counted on and on: what
    /// somebody saw earlier may be taken off (`filledByteCountMax`). Parts that were filled twice count twice.
    public func filledByteCount(window: Int) -> UInt64 { word(of: window) >> Self.filledShift }

    /// The window of a bus address, or nil when there is none.
    public func window(of address: BusAddress) -> Int? {
        let index = Int(truncatingIfNeeded: address >> Self.windowShift) - 1
        return index >= 0 && index < windowCount ? index : nil
    }

    /// The bus addresses that windows can have.
    public var addressRange: Range<BusAddress> {
        1 << Self.windowShift..<UInt64(windowCount + 1) << Self.windowShift
    }
}
