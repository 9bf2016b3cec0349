import Glibc
import MDFormat
import Members
import Platform
import RAID
import SCSI
import TestSupport
import TestTraits
import Testing

@testable import RAIDController

@Suite("The card's write cache against a model", .busy, .slow)
struct WriteCacheModelTests {
    /// Another one each time, unless NBDEXT_SEED says which.
    private static let seed = SeededGenerator.seed

    @Test(
        "two users on two lanes, and power cuts", arguments: [RAIDLevel.raid0, .raid5],
        [2, 5, 24, 200])
    func users(level: RAIDLevel, pages: Int) throws {
        print("write cache of \(pages) pages, RAID \(level.rawValue): seed \(Self.seed)")
        var fixture: CardFixture? = try CardFixture(
            level: level, members: 3, engine: MemberEngineKind.detect(), writeCacheByteCount: pages * 4096)
        let directory = fixture!.temporary
        let users = try use(fixture!)
        for user in users { #expect(user.failures.prefix(3) == [], "seed \(Self.seed)") }
        fixture = nil
        let other = try CardFixture(opening: directory)
        for user in users { #expect(user.isFound(by: other), "seed \(Self.seed)") }
    }

    /// Lets two users work and cuts the power now and then; everything is flushed at the end.
    private func use(_ fixture: CardFixture) throws -> [CacheModel] {
        let cuts = PowerCuts()
        let card = fixture.card
        let otherLane = try card.makeLane()
        defer { card.releaseLane(otherLane) }
        let driver = CardDriver(fixture)
        let users = [fixture.lane, otherLane].enumerated().map { user, lane in
            CacheModel(driver, user: user, lane: lane, cuts: cuts, seed: Self.seed)
        }
        let first = try OSThread(name: "first user") { users[0].run(batches: 250) }
        let second = try OSThread(name: "second user") { users[1].run(batches: 250) }
        for _ in 0..<20 {
            usleep(10_000)
            cuts.begun.add(1, ordering: .sequentiallyConsistent)
            card.units[0].cache?.checkInvariants()
            _ = card.powerCut()
            card.units[0].cache?.checkInvariants()
            cuts.ended.add(1, ordering: .sequentiallyConsistent)
        }
        first.join()
        second.join()
        for user in users { user.examine() }
        #expect(users[0].flush(), "seed \(Self.seed)")
        #expect(card.powerCut() == 0, "seed \(Self.seed)")
        for user in users { user.leave() }
        return users
    }
}
