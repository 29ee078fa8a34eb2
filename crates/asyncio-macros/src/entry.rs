//! From an async function to the plain one that runs it.
//!
//! Everything here works on `proc_macro2` streams, so that the tests below can call it.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{
    Error, Expr, ExprLit, Ident, Item, ItemFn, Lit, LitStr, Path, Result, Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
    parse_quote,
    punctuated::Punctuated,
    spanned::Spanned,
};

/// Which of the two attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Main,
    Test,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "#[asyncio::main]",
            Self::Test => "#[asyncio::test]",
        }
    }

    /// What the attribute understands, for messages.
    fn options(self) -> &'static str {
        match self {
            Self::Main => "`crate = \"path\"`",
            Self::Test => "`virtual_time = true` and `crate = \"path\"`",
        }
    }
}

/// The expansion, or the errors as `compile_error!`s.
pub(crate) fn expand(kind: Kind, options: TokenStream, item: TokenStream) -> TokenStream {
    try_expand(kind, options, item.clone()).unwrap_or_else(|error| {
        let errors = error.to_compile_error();
        match syn::parse2::<ItemFn>(item) {
            // Without its `main` the compiler would complain about that as well.
            Ok(function) if function.sig.ident == "main" => quote!(#errors fn main() {}),
            _ => errors,
        }
    })
}

fn try_expand(kind: Kind, options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function = parse_function(kind, item)?;
    // Both kinds of mistake are shown at once.
    let (options, function) = match (Options::parse(kind, options), check(kind, &function)) {
        (Ok(options), Ok(())) => (options, function),
        (Err(mut first), Err(second)) => {
            first.combine(second);
            return Err(first);
        }
        (Err(error), Ok(())) | (Ok(_), Err(error)) => return Err(error),
    };

    let facade = &options.facade;
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = &function;
    let mut plain = sig.clone();
    plain.asyncness = None;
    let name = &sig.ident;
    let (mark, run) = match kind {
        Kind::Main => (None, quote!(#facade::__private::run_main(#name()))),
        Kind::Test => {
            let virtual_time = options.virtual_time;
            (
                // In full, because the `test` in scope may be this very attribute.
                Some(quote!(#[::core::prelude::v1::test])),
                quote!(#facade::__private::run_test(#name(), #virtual_time)),
            )
        }
    };
    Ok(quote! {
        #mark
        #(#attrs)*
        #vis #plain {
            #sig #block
            #run
        }
    })
}

fn parse_function(kind: Kind, item: TokenStream) -> Result<ItemFn> {
    syn::parse2::<ItemFn>(item.clone()).map_err(|error| match syn::parse2::<Item>(item) {
        // Something else, and sound: the attribute is what is wrong.
        Ok(other) => Error::new(
            other.span(),
            format!(
                "{} expects an `async fn` with a body, and this is not a function; \
                 move the attribute to the function to be run",
                kind.name()
            ),
        ),
        // Something half written: the parser knows where and why.
        Err(_) => Error::new(
            error.span(),
            format!("{} expects an `async fn` with a body: {error}", kind.name()),
        ),
    })
}

/// Finds everything that keeps a function from being run by a loop.
fn check(kind: Kind, function: &ItemFn) -> Result<()> {
    let attribute = kind.name();
    let sig = &function.sig;
    let name = &sig.ident;
    let mut errors = Errors::default();

    if sig.asyncness.is_none() {
        errors.add(
            sig.fn_token.span,
            format!(
                "{attribute} expects an `async fn`, and `{name}` is a plain one; \
                 write `async fn {name}`, or remove the attribute"
            ),
        );
    }
    if let Some(receiver) = sig.receiver() {
        errors.add(
            receiver.span(),
            format!(
                "{attribute} expects a free function, and `{name}` is a method; \
                 write a function outside of the `impl` that calls it"
            ),
        );
    } else if let Some(input) = sig.inputs.first() {
        let advice = match kind {
            Kind::Main => {
                "take what it needs from `std::env::args`, or use `asyncio::run(async { … })`"
            }
            Kind::Test => "make what it needs in the body: nobody passes values to a test",
        };
        errors.add(
            input.span(),
            format!(
                "{attribute} expects a function without parameters, and `{name}` has {}; {advice}",
                sig.inputs.len()
            ),
        );
    }
    let generics = &sig.generics;
    if !generics.params.is_empty() || generics.where_clause.is_some() {
        let span = match generics.params.first() {
            Some(parameter) => parameter.span(),
            None => generics.where_clause.span(),
        };
        errors.add(
            span,
            format!(
                "{attribute} expects a function without generics, and `{name}` has some; \
                 call the generic function from one that names the types"
            ),
        );
    }
    if let Some(token) = &sig.unsafety {
        errors.add(
            token.span,
            format!(
                "{attribute} expects a safe function, since the loop that calls it can promise \
                 nothing; put the `unsafe` block into the body of `{name}`"
            ),
        );
    }
    for other in &function.attrs {
        let path = other.path();
        if path
            .segments
            .last()
            .is_some_and(|last| last.ident == "test")
        {
            let advice = match kind {
                Kind::Main => "replace both by `#[asyncio::test]`",
                Kind::Test => "remove the other one, since this attribute adds it",
            };
            errors.add(
                other.span(),
                format!("{attribute} and another `test` attribute on `{name}`; {advice}"),
            );
        }
    }
    errors.into_result()
}

/// What stands in the parentheses of the attribute.
struct Options {
    facade: Path,
    virtual_time: bool,
}

impl Options {
    fn parse(kind: Kind, options: TokenStream) -> Result<Self> {
        let mut parsed = Self {
            facade: parse_quote!(::asyncio),
            virtual_time: false,
        };
        let mut seen: Vec<Ident> = Vec::new();
        let mut errors = Errors::default();
        let list = Punctuated::<NamedValue, Token![,]>::parse_terminated.parse2(options)?;
        for NamedValue { name, value } in list {
            if seen.contains(&name) {
                errors.add(name.span(), format!("`{name}` is given twice; remove one"));
                continue;
            }
            let result = match (name.to_string().as_str(), kind) {
                ("crate", _) => path_in(&name, value).map(|path| parsed.facade = path),
                ("virtual_time", Kind::Test) => {
                    bool_in(&name, value).map(|on| parsed.virtual_time = on)
                }
                ("virtual_time", Kind::Main) => Err(Error::new(
                    name.span(),
                    "`virtual_time` is an option of #[asyncio::test]; \
                     a program runs on the real clock, so remove it",
                )),
                (other, _) => Err(Error::new(
                    name.span(),
                    format!(
                        "{} has no option `{other}`; it understands {}",
                        kind.name(),
                        kind.options()
                    ),
                )),
            };
            seen.push(name);
            if let Err(error) = result {
                errors.push(error);
            }
        }
        errors.into_result()?;
        Ok(parsed)
    }
}

/// `name` or `name = value`; whether a value is needed, and which, is up to the name.
struct NamedValue {
    name: Ident,
    value: Option<Expr>,
}

impl syn::parse::Parse for NamedValue {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        // `crate` is a keyword, which `Ident` alone refuses.
        let name = Ident::parse_any(input)?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Self { name, value })
    }
}

fn path_in(name: &Ident, value: Option<Expr>) -> Result<Path> {
    let expected = |span, came: &str| {
        Error::new(
            span,
            format!("`{name}` expects a path in quotes, and {came}; write `{name} = \"asyncio\"`"),
        )
    };
    let literal = match &value {
        Some(Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        })) => literal,
        Some(other) => return Err(expected(other.span(), "this is not a string")),
        None => return Err(expected(name.span(), "nothing is given")),
    };
    literal
        .parse_with(Path::parse_mod_style)
        .map_err(|_| expected(literal.span(), &format!("{} is not a path", shown(literal))))
}

fn shown(literal: &LitStr) -> String {
    format!("{:?}", literal.value())
}

fn bool_in(name: &Ident, value: Option<Expr>) -> Result<bool> {
    let expected = |span: Span, came: &str| {
        Error::new(
            span,
            format!("`{name}` expects `true` or `false`, and {came}; write `{name} = true`"),
        )
    };
    match &value {
        Some(Expr::Lit(ExprLit {
            lit: Lit::Bool(literal),
            ..
        })) => Ok(literal.value),
        Some(other) => Err(expected(other.span(), "this is neither")),
        None => Err(expected(name.span(), "nothing is given")),
    }
}

/// Collects errors, so that the user sees all of them at once.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn add(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(Error::new(span, message));
    }

    fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expansion, to compare with `quote!`.
    fn expanded(kind: Kind, options: TokenStream, item: TokenStream) -> String {
        try_expand(kind, options, item).unwrap().to_string()
    }

    /// The messages of all the errors, in order.
    fn errors(kind: Kind, options: TokenStream, item: TokenStream) -> Vec<String> {
        let error = try_expand(kind, options, item).unwrap_err();
        error.into_iter().map(|error| error.to_string()).collect()
    }

    #[test]
    fn main_becomes_a_plain_function_around_the_async_one() {
        let item = quote! {
            async fn main() -> Result<(), Error> {
                serve().await?;
                Ok(())
            }
        };
        let expected = quote! {
            fn main() -> Result<(), Error> {
                async fn main() -> Result<(), Error> {
                    serve().await?;
                    Ok(())
                }
                ::asyncio::__private::run_main(main())
            }
        };
        assert_eq!(expanded(Kind::Main, quote!(), item), expected.to_string());
    }

    #[test]
    fn test_becomes_a_test_of_the_standard_harness() {
        let expected = quote! {
            #[::core::prelude::v1::test]
            fn works() {
                async fn works() { step().await }
                ::asyncio::__private::run_test(works(), false)
            }
        };
        let item = quote!(
            async fn works() {
                step().await
            }
        );
        assert_eq!(expanded(Kind::Test, quote!(), item), expected.to_string());
    }

    #[test]
    fn other_attributes_and_the_visibility_stay_outside() {
        let item = quote! {
            /// Says what it is.
            #[should_panic(expected = "no")]
            #[ignore = "slow"]
            #[cfg(unix)]
            pub(crate) async fn works() {}
        };
        let expected = quote! {
            #[::core::prelude::v1::test]
            /// Says what it is.
            #[should_panic(expected = "no")]
            #[ignore = "slow"]
            #[cfg(unix)]
            pub(crate) fn works() {
                async fn works() {}
                ::asyncio::__private::run_test(works(), false)
            }
        };
        assert_eq!(expanded(Kind::Test, quote!(), item), expected.to_string());
    }

    #[test]
    fn virtual_time_reaches_the_facade() {
        let item = quote!(
            async fn works() {}
        );
        for (on, end) in [(true, "(works () , true)"), (false, "(works () , false)")] {
            let text = expanded(Kind::Test, quote!(virtual_time = #on), item.clone());
            assert!(text.contains(end), "{text}");
        }
    }

    #[test]
    fn the_facade_may_be_elsewhere() {
        for (options, path) in [
            (quote!(crate = "framework::aio"), quote!(framework::aio)),
            (quote!(crate = "crate::aio",), quote!(crate::aio)),
            (quote!(crate = "::aio"), quote!(::aio)),
        ] {
            let expected = quote! {
                fn main() {
                    async fn main() {}
                    #path::__private::run_main(main())
                }
            };
            let item = quote!(
                async fn main() {}
            );
            assert_eq!(expanded(Kind::Main, options, item), expected.to_string());
        }
    }

    #[test]
    fn a_plain_function_is_refused() {
        assert_eq!(
            errors(
                Kind::Main,
                quote!(),
                quote!(
                    fn main() {}
                )
            ),
            [
                "#[asyncio::main] expects an `async fn`, and `main` is a plain one; \
              write `async fn main`, or remove the attribute"
            ]
        );
    }

    #[test]
    fn parameters_are_refused() {
        assert_eq!(
            errors(
                Kind::Main,
                quote!(),
                quote!(
                    async fn main(a: u8, b: u8) {}
                )
            ),
            [
                "#[asyncio::main] expects a function without parameters, and `main` has 2; \
              take what it needs from `std::env::args`, or use `asyncio::run(async { … })`"
            ]
        );
        assert_eq!(
            errors(
                Kind::Test,
                quote!(),
                quote!(
                    async fn works(a: u8) {}
                )
            ),
            [
                "#[asyncio::test] expects a function without parameters, and `works` has 1; \
              make what it needs in the body: nobody passes values to a test"
            ]
        );
    }

    #[test]
    fn a_method_is_refused() {
        assert_eq!(
            errors(
                Kind::Test,
                quote!(),
                quote!(
                    async fn works(&self) {}
                )
            ),
            [
                "#[asyncio::test] expects a free function, and `works` is a method; \
              write a function outside of the `impl` that calls it"
            ]
        );
    }

    #[test]
    fn generics_are_refused() {
        let message = "#[asyncio::main] expects a function without generics, and `main` has some; \
                       call the generic function from one that names the types";
        for item in [
            quote!(
                async fn main<T>() {}
            ),
            quote!(
                async fn main<'a>() {}
            ),
            quote!(
                async fn main()
                where
                    u8: Copy,
                {
                }
            ),
        ] {
            assert_eq!(errors(Kind::Main, quote!(), item), [message]);
        }
    }

    #[test]
    fn an_unsafe_function_is_refused() {
        assert_eq!(
            errors(
                Kind::Main,
                quote!(),
                quote!(
                    async unsafe fn main() {}
                )
            ),
            [
                "#[asyncio::main] expects a safe function, since the loop that calls it can \
              promise nothing; put the `unsafe` block into the body of `main`"
            ]
        );
    }

    #[test]
    fn a_second_test_attribute_is_refused() {
        assert_eq!(
            errors(
                Kind::Test,
                quote!(),
                quote!(
                    #[test]
                    async fn works() {}
                )
            ),
            ["#[asyncio::test] and another `test` attribute on `works`; \
              remove the other one, since this attribute adds it"]
        );
        assert_eq!(
            errors(
                Kind::Main,
                quote!(),
                quote!(
                    #[tokio::test]
                    async fn works() {}
                )
            ),
            ["#[asyncio::main] and another `test` attribute on `works`; \
              replace both by `#[asyncio::test]`"]
        );
    }

    #[test]
    fn something_else_than_a_function_is_refused() {
        assert_eq!(
            errors(
                Kind::Main,
                quote!(),
                quote!(
                    struct Main;
                )
            ),
            [
                "#[asyncio::main] expects an `async fn` with a body, and this is not a function; \
              move the attribute to the function to be run"
            ]
        );
    }

    #[test]
    fn a_half_written_function_keeps_the_parsers_message() {
        let messages = errors(Kind::Main, quote!(), quote!(async fn main()));
        assert_eq!(messages.len(), 1);
        assert!(
            messages[0].starts_with("#[asyncio::main] expects an `async fn` with a body: "),
            "{messages:?}"
        );
    }

    #[test]
    fn an_unknown_option_is_refused_with_the_known_ones() {
        let item = quote!(
            async fn main() {}
        );
        assert_eq!(
            errors(Kind::Main, quote!(flavor = "current_thread"), item.clone()),
            ["#[asyncio::main] has no option `flavor`; it understands `crate = \"path\"`"]
        );
        assert_eq!(
            errors(Kind::Test, quote!(start_paused), item),
            ["#[asyncio::test] has no option `start_paused`; \
              it understands `virtual_time = true` and `crate = \"path\"`"]
        );
    }

    #[test]
    fn virtual_time_is_for_tests_only() {
        assert_eq!(
            errors(
                Kind::Main,
                quote!(virtual_time = true),
                quote!(
                    async fn main() {}
                )
            ),
            ["`virtual_time` is an option of #[asyncio::test]; \
              a program runs on the real clock, so remove it"]
        );
    }

    #[test]
    fn an_option_of_the_wrong_kind_says_what_to_write() {
        let item = quote!(
            async fn works() {}
        );
        for (options, message) in [
            (
                quote!(virtual_time),
                "`virtual_time` expects `true` or `false`, and nothing is given; \
                 write `virtual_time = true`",
            ),
            (
                quote!(virtual_time = 1),
                "`virtual_time` expects `true` or `false`, and this is neither; \
                 write `virtual_time = true`",
            ),
            (
                quote!(crate),
                "`crate` expects a path in quotes, and nothing is given; \
                 write `crate = \"asyncio\"`",
            ),
            (
                quote!(crate = asyncio),
                "`crate` expects a path in quotes, and this is not a string; \
                 write `crate = \"asyncio\"`",
            ),
            (
                quote!(crate = "a-b"),
                "`crate` expects a path in quotes, and \"a-b\" is not a path; \
                 write `crate = \"asyncio\"`",
            ),
            (
                quote!(virtual_time = true, virtual_time = false),
                "`virtual_time` is given twice; remove one",
            ),
        ] {
            assert_eq!(errors(Kind::Test, options, item.clone()), [message]);
        }
    }

    #[test]
    fn all_mistakes_are_shown_at_once() {
        let messages = errors(
            Kind::Main,
            quote!(a, b),
            quote!(
                fn main<T>(x: T) {}
            ),
        );
        assert_eq!(messages.len(), 5, "{messages:?}");
    }

    #[test]
    fn an_error_leaves_a_main_behind_if_there_was_one() {
        let of_main = expand(
            Kind::Main,
            quote!(),
            quote!(
                fn main() {}
            ),
        )
        .to_string();
        assert!(of_main.contains("compile_error"), "{of_main}");
        assert!(of_main.ends_with("fn main () { }"), "{of_main}");

        let of_another = expand(
            Kind::Main,
            quote!(),
            quote!(
                fn another() {}
            ),
        )
        .to_string();
        assert!(of_another.contains("compile_error"), "{of_another}");
        assert!(!of_another.contains("fn main"), "{of_another}");
    }
}
