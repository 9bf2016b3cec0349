extension UInt64 {
    /// The product, or the largest number when it does not fit: for limits that a driver chooses freely.
    package func saturatingProduct(_ other: UInt64) -> UInt64 {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
