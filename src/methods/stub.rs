//! [`service!`](crate::service): a service and its client from one list of methods.

/// Returns the name on the wire of the Rust method `name`: `set_all` becomes `SetAll`.
#[doc(hidden)]
pub fn method_name(name: &str) -> String {
    let mut words = String::with_capacity(name.len());
    let mut upper = true;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if std::mem::take(&mut upper) => words.push(c.to_ascii_uppercase()),
            c => words.push(c),
        }
    }
    words
}

/// Defines, from one list of methods, a trait to implement the service with and a client to call
/// it, so that both sides agree on types and names. Each method has one argument and a result; on
/// the wire `say_hello` of `Greeter` is `Greeter.SayHello`.
///
/// ```
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), wakeful::Error> {
/// use wakeful::{Config, Error, MethodContext, Wakeful};
///
/// wakeful::service! {
///     /// Says hello.
///     pub trait Greeter, client GreeterClient {
///         /// To one.
///         async fn say_hello(name: String) -> String;
///         /// To two.
///         async fn say_hellos(names: (String, String)) -> Vec<String>;
///     }
/// }
///
/// struct English;
///
/// impl Greeter for English {
///     async fn say_hello(&self, name: String, _: &MethodContext) -> Result<String, Error> {
///         Ok(format!("hello, {name}"))
///     }
///
///     async fn say_hellos(
///         &self,
///         (a, b): (String, String),
///         cx: &MethodContext,
///     ) -> Result<Vec<String>, Error> {
///         Ok(vec![self.say_hello(a, cx).await?, self.say_hello(b, cx).await?])
///     }
/// }
///
/// let wakeful = Wakeful::start(Config::new())?;
/// wakeful.register(English.into_service())?;
/// let greeter = GreeterClient::new(wakeful.clone()); // or a `Client`
/// assert_eq!(greeter.say_hello("you".to_owned()).await?, "hello, you");
/// assert_eq!(greeter.say_hellos(("a".to_owned(), "b".to_owned())).await?.len(), 2);
/// wakeful.stop().await;
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! service {
    (
        $(#[$about:meta])*
        $visible:vis trait $service:ident, client $client:ident {
            $(
                $(#[$about_method:meta])*
                async fn $method:ident($argument:ident: $Argument:ty) -> $Result:ty;
            )+
        }
    ) => {
        $(#[$about])*
        $visible trait $service: Sized + Send + Sync + 'static {
            $(
                $(#[$about_method])*
                fn $method(
                    &self,
                    $argument: $Argument,
                    cx: &$crate::MethodContext,
                ) -> impl ::core::future::Future<Output = ::core::result::Result<$Result, $crate::Error>>
                       + ::core::marker::Send;
            )+

            /// Converts the implementation to a service to register.
            fn into_service(self) -> $crate::Service {
                let this = ::std::sync::Arc::new(self);
                $crate::Service::new(::core::stringify!($service))
                    $(.method($crate::method_name(::core::stringify!($method)), {
                        let this = ::std::sync::Arc::clone(&this);
                        move |argument: $Argument, cx: $crate::MethodContext| {
                            let this = ::std::sync::Arc::clone(&this);
                            async move { this.$method(argument, &cx).await }
                        }
                    }))+
            }
        }

        $(#[$about])*
        #[derive(Debug, Clone)]
        $visible struct $client<C>(C);

        impl<C: $crate::Methods> $client<C> {
            /// Returns a client that calls the service through `caller`.
            $visible fn new(caller: C) -> Self {
                Self(caller)
            }

            $(
                $(#[$about_method])*
                ///
                /// # Errors
                /// Those of [`invoke`]($crate::Methods::invoke).
                $visible async fn $method(
                    &self,
                    $argument: $Argument,
                ) -> ::core::result::Result<$Result, $crate::Error> {
                    let name = ::std::format!(
                        "{}.{}",
                        ::core::stringify!($service),
                        $crate::method_name(::core::stringify!($method)),
                    );
                    $crate::Methods::invoke(&self.0, &name, &$argument).await
                }
            )+
        }
    };
}
