/// Why an array could not be created or opened: one sentence that says what to do.
package struct ArrayStoreError: Error, CustomStringConvertible, Equatable {
    package let description: String

    package init(_ description: String) { self.description = description }
}
