import Glibc
import TestTraits
import Testing

@testable import Platform

@Suite("Groups of processors", .blocks)
struct ProcessorGroupsTests {
    @Test("share the processors out, each to one group", arguments: [1, 2, 7, 8, 9, 31, 200])
    func sharesOut(processorCount: Int) {
        // Numbers with gaps, as a container has them.
        let numbers = (0..<processorCount).map { UInt16($0 * 3 + 1) }
        let groups = ProcessorGroups(numbers: numbers)
        #expect(groups.count == min(processorCount, ProcessorGroups.countMax))
        var seen: [UInt16] = []
        for group in 0..<groups.count {
            let members = groups.processors(ofGroup: group)
            #expect(abs(members.count - processorCount / groups.count) <= 1)
            for number in members { #expect(groups.group(ofProcessor: Int(number)) == group) }
            seen += members
        }
        #expect(seen.sorted() == numbers)
    }

    @Test("are one when the processors are not known, and a group that does not exist is one that does")
    func unknown() {
        let groups = ProcessorGroups(numbers: [])
        #expect(groups.count == 1)
        #expect(groups.group(ofProcessor: 5) == 0)
        #expect(groups.group(ofProcessor: -1) == 0)
        #expect(groups.processors(ofGroup: 3).isEmpty)
        #expect(ProcessorGroups(numbers: [4, 6]).processors(ofGroup: 5) == [6])
    }

    @Test("keep a bound thread where it belongs")
    func binds() throws {
        let groups = ProcessorGroups()
        for group in 0..<groups.count {
            let done = OneShotEvent()
            try OSThread(name: "bound") {
                groups.bindCurrentThread(to: group)
                for _ in 0..<100 {
                    sched_yield()
                    #expect(groups.current == group)
                }
                // A thread that it starts is free again.
                let free = OneShotEvent()
                try? OSThread(name: "free") {
                    #expect(ProcessorGroups().count == groups.count)
                    free.set()
                }.detach()
                free.wait()
                done.set()
            }.detach()
            done.wait()
        }
    }
}
